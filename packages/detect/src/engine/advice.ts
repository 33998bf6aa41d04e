import { availableCores } from '@mezzo/libtorch';
import { nn } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import type { AdviceEvent } from './event.ts';
import { choosePrecision } from './precision.ts';
import type { Run } from './run.ts';

/** What advice goes by. */
export interface Advised
  extends Pick<Run, 'device' | 'model'>,
    Readonly<{ precision: Pick<Run['precision'], 'enabled' | 'dtype'> }> {
  readonly settings: Pick<
    TrainSettings,
    'amp' | 'channels_last' | 'workers' | 'deterministic' | 'multi_scale' | 'rect'
  >;
  /** That this process may use. */
  readonly cores: number;
}

interface Rule {
  readonly code: string;
  /** What was found and what to do, or null where it does not apply. */
  readonly find: (run: Advised) => string | null;
  readonly gain: (run: Advised) => string;
}

const onCpu = ({ device }: Advised): boolean => device === 'cpu';
const NAMED = 3;

const RULES: readonly Rule[] = [
  {
    code: 'AMP_OFF',
    find: (run) => {
      const { settings, precision, device } = run;
      if (precision.enabled || settings.amp === true || settings.amp === 'auto') return null;
      const offered = choosePrecision(true, device, null);
      if (!offered.enabled) return null;
      return `amp=${String(settings.amp)} trains in float32, and this device has ${offered.dtype}: amp=true`;
    },
    gain: (run) =>
      onCpu(run)
        ? 'measured with YOLOv8n on two cores with AMX: a step in 0.61 of the time and 0.58 of the memory'
        : 'to be expected: a step in a half to two thirds of the time, activations in half the memory',
  },
  {
    code: 'CHANNELS_LAST_OFF',
    find: ({ settings, precision }) =>
      precision.enabled && settings.channels_last === false
        ? `channels_last=false, and convolutions in ${precision.dtype} want channels last: leave it out`
        : null,
    gain: (run) =>
      onCpu(run)
        ? 'measured with YOLOv8n in bf16 on a core with AMX: a step in 0.79 of the time'
        : 'to be expected: up to a fifth of a step',
  },
  {
    code: 'CHANNELS_NOT_OF_8',
    // A CPU with AMX takes as long as the channels are many: 36 of them 0.91 of the time of 40.
    find: ({ device, model, precision }) => {
      if (device === 'cpu' || !precision.enabled) return null;
      const odd = unevenConvolutions(model);
      if (odd.length === 0) return null;
      const shown = odd.slice(0, NAMED).map(({ name, channels }) => `${name}: ${channels}`);
      const more = odd.length > NAMED ? ` and ${odd.length - NAMED} more` : '';
      return `convolutions whose channels are no multiple of 8 (${shown.join(', ')}${more}): choose such widths in the model's yaml`;
    },
    gain: () => 'to be expected: these layers leave the Tensor Cores partly idle, up to half their time',
  },
  {
    code: 'FEW_WORKERS',
    find: ({ settings, cores }) =>
      settings.workers < cores
        ? `workers=${settings.workers} prepares ${settings.workers === 0 ? 'nothing ahead of the step' : 'few pictures at a time'}, and there are ${cores} cores: workers=${2 * cores}`
        : null,
    gain: () => 'to be expected: up to all of the time that steps wait for pictures',
  },
  {
    code: 'CUDNN_BENCHMARK_OFF',
    find: (run) => {
      const { deterministic, multi_scale, rect } = run.settings;
      const fixed = !rect && (multi_scale === 0 || multi_scale === false);
      return !onCpu(run) && deterministic && fixed
        ? 'all batches are of one size, and deterministic=true keeps cuDNN from trying out its algorithms: deterministic=false'
        : null;
    },
    gain: () => 'to be expected: 5 to 20 % of a step; runs then differ in their last bits',
  },
];

/** What would make this run faster or smaller, most worthwhile first. */
export const adviceFor = (run: Advised): AdviceEvent[] =>
  RULES.flatMap((rule) => {
    const text = rule.find(run);
    return text === null ? [] : [{ event: 'advice', code: rule.code, text, gain: rule.gain(run) } as const];
  });

/** What it goes by, of a run that is ready. */
export const advised = ({ device, model, precision, settings }: Run): Advised => ({
  device,
  model,
  precision,
  settings,
  cores: availableCores(),
});

/** Convolutions inside the network (those of the head's outputs have a bias, and the classes set their channels). */
function unevenConvolutions(model: nn.Module): { name: string; channels: number }[] {
  return [...model.namedModules()].flatMap(([name, module]) => {
    if (!(module instanceof nn.Conv2d) || module.bias !== null || module.groups > 1) return [];
    const channels = module.weight.size(0);
    // The expectation over the distances of a box has one output by its nature.
    return channels % 8 === 0 || channels === 1 ? [] : [{ name, channels }];
  });
}
