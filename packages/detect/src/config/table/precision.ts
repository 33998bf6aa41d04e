import type { OptionTable } from '../option.ts';
import { EXPLAIN, STEP, TRAIN } from './commands.ts';

export const precisionOptions = {
  amp: {
    type: 'bool|choice',
    default: true,
    choices: ['fp16', 'bf16', 'fp32', 'auto'],
    commands: STEP,
    help: 'mixed precision. true: fp16 with a loss scaler on CUDA capability 7.0 and up, bf16 on a CPU with native bf16, else fp32; auto: the same, with layers that overflow moved to fp32 and a computed loss scale',
    negations: ['unamp'],
  },
  scaler: {
    type: 'choice',
    default: null,
    choices: ['torch', 'computed', 'static', 'apex', 'deepspeed', 'megatron', 'keras', 'jmp', 'flax'],
    commands: TRAIN,
    help: 'rule of the loss scale under fp16; torch: double after growth_interval good steps, halve after a bad one; computed: by the largest gradient; torch unless given, computed with amp=auto',
  },
  init_scale: {
    type: 'float',
    default: null,
    above: 0,
    commands: STEP,
    help: 'first loss scale; by the scaler unless given (torch: 65536)',
  },
  growth_interval: {
    type: 'int',
    default: null,
    range: [1, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'steps without overflow after which the loss scale grows, for computed the steps that its maximum looks back on; by the scaler unless given (torch: 2000, computed: 12)',
  },
  scale_floor: {
    type: 'float',
    default: 1,
    range: [0, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'the loss scale never falls below it, and an overflow there ends the run; 0: none',
  },
  channels_last: {
    type: 'bool',
    default: null,
    commands: STEP,
    help: 'memory layout NHWC for weights and images; yes with mixed precision unless given',
  },
  check: {
    type: 'bool',
    default: true,
    commands: TRAIN,
    help: 'try before a run in mixed precision that it is sound; where it is not, the run is in fp32 and says why',
  },
  fp32: {
    type: 'text',
    default: null,
    commands: STEP,
    help: 'patterns of layers that stay in fp32, separated by commas: model.22.*',
  },
  precision: {
    type: 'path',
    default: null,
    commands: STEP,
    help: 'a file with a precision plan',
  },
  autopsy: {
    type: 'bool',
    default: false,
    commands: TRAIN,
    help: 'replay the first skipped step to find the op that overflowed, and what cures it; repeated skips are replayed anyway',
  },
  recorder: {
    type: 'path',
    default: null,
    commands: ['train', 'explain'],
    help: 'file for exponent histograms of every layer; mezzo explain --recorder FILE shows it',
  },
  gradients: {
    type: 'bool',
    default: false,
    commands: EXPLAIN,
    help: 'compare the gradient of each layer with that of a float32 run on the same batch',
  },
} as const satisfies OptionTable;
