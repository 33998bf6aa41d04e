import { didYouMean } from '@mezzo/libtorch/nearest';
import { amp, MezzoError } from '@mezzo/torch';

const { FLOAT32_TINY, TORCH_RULE } = amp;

/** The loss-scale rules of other systems at their own defaults, and the computed one. */
export const SCALE_RULES = {
  torch: TORCH_RULE,
  /**
   * A bit and a half stays free above the running maximum, which looks back on twelve windows: batches of a detector
   * differ by one to three bits, and sums within a kernel may be larger than its result. Less room means skips, more
   * means bits given away. One overflow alone is a batch of its own kind; the second in a row halves the scale. Within
   * its first steps a fresh network was seen to raise its gradients by up to four bits.
   */
  computed: {
    ...TORCH_RULE,
    name: 'computed',
    kind: 'computed',
    growthInterval: 12,
    hysteresis: 2,
    refill: 'clean',
    headroom: 1.5,
    startHeadroom: 3.5,
    startWindows: 40,
  },
  static: { ...TORCH_RULE, name: 'static', kind: 'static' },
  apex: { ...TORCH_RULE, name: 'apex', ceiling: 2 ** 24 },
  /** Its update starts the next count with the window that grew. */
  deepspeed: {
    ...TORCH_RULE,
    name: 'deepspeed',
    growthInterval: 1000,
    floor: 1,
    raiseAtFloor: true,
    hysteresis: 2,
    count: 'after',
    countAfterGrowth: 1,
  },
  megatron: {
    ...TORCH_RULE,
    name: 'megatron',
    init: 2 ** 32,
    growthInterval: 1000,
    floor: 1,
    hysteresis: 2,
    beyondFinite: 'allow',
  },
  keras: { ...TORCH_RULE, name: 'keras', init: 2 ** 15, beyondFinite: 'allow' },
  jmp: { ...TORCH_RULE, name: 'jmp', init: 2 ** 15, floor: 1 },
  /** Compares before it counts: every growth comes one window later than PyTorch's. */
  flax: { ...TORCH_RULE, name: 'flax', floor: FLOAT32_TINY, count: 'after', beyondFinite: 'clamp' },
} as const satisfies Record<string, amp.ScaleRule>;

export type ScaleRuleName = keyof typeof SCALE_RULES;

export const scaleRuleNames = Object.keys(SCALE_RULES) as ScaleRuleName[];

/** DeepSpeed's profiles: by optimizer, its fused ones begin higher and its others may go below 1. */
export const DEEPSPEED_PROFILES = {
  fused: { ...SCALE_RULES.deepspeed, init: 2 ** 32 },
  unfused: { ...SCALE_RULES.deepspeed, floor: 0.25 },
} as const satisfies Record<string, amp.ScaleRule>;

/**
 * The rule of that name.
 * @throws MezzoError UNKNOWN_SCALER naming the nearest ones
 */
export function scaleRule(name: string): amp.ScaleRule {
  if (Object.hasOwn(SCALE_RULES, name)) return SCALE_RULES[name as ScaleRuleName];
  throw new MezzoError('UNKNOWN_SCALER', `no loss-scale rule '${name}'${didYouMean(name, scaleRuleNames)}`, {
    hint: `the rules are ${scaleRuleNames.join(', ')}`,
  });
}
