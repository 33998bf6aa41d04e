import type { OptionTable } from '../option.ts';
import { TRAIN } from './commands.ts';

const NO_PLAN = 'plans that name layers are not there yet';

export const precisionOptions = {
  amp: {
    type: 'bool|choice',
    default: true,
    choices: ['fp16', 'bf16', 'fp32'],
    commands: TRAIN,
    help: 'mixed precision. true: fp16 with a loss scaler on CUDA capability 7.0 and up, bf16 on a CPU with native bf16, else fp32',
    negations: ['unamp'],
    later: [[/^auto$/i, 'a plan that heals itself is not there yet: give true, fp16, bf16 or false']],
  },
  scaler: {
    type: 'choice',
    default: 'torch',
    choices: ['torch'],
    commands: TRAIN,
    help: 'rule of the loss scale under fp16; torch: double after growth_interval good steps, halve after a bad one',
    later: [
      [/^(computed|static|apex|deepspeed|megatron|keras|jmp|flax)$/i, 'only the rule of torch is there yet'],
    ],
  },
  init_scale: {
    type: 'float',
    default: 65536,
    above: 0,
    commands: TRAIN,
    help: 'first loss scale',
  },
  growth_interval: {
    type: 'int',
    default: 2000,
    range: [1, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'steps without overflow after which the loss scale doubles',
  },
  scale_floor: {
    type: 'float',
    default: null,
    commands: TRAIN,
    help: 'lower bound of the loss scale',
    refused: 'the rule of torch has no lower bound',
  },
  channels_last: {
    type: 'bool',
    default: null,
    commands: TRAIN,
    help: 'memory layout NHWC for weights and images; yes with mixed precision unless given',
  },
  check: {
    type: 'bool',
    default: false,
    commands: TRAIN,
    help: 'test before the run that mixed precision is sound',
    refused: 'the preflight is not there yet',
  },
  fp32: {
    type: 'text',
    default: null,
    commands: TRAIN,
    help: 'pattern of layers that stay in fp32',
    refused: NO_PLAN,
  },
  precision: {
    type: 'path',
    default: null,
    commands: TRAIN,
    help: 'a file with a precision plan',
    refused: NO_PLAN,
  },
  autopsy: {
    type: 'bool',
    default: false,
    commands: TRAIN,
    help: 'replay a skipped step to find the op that overflowed',
    refused: 'the replay of skipped steps is not there yet',
  },
  recorder: {
    type: 'path',
    default: null,
    commands: TRAIN,
    help: 'file for exponent histograms of every layer',
    refused: 'the flight recorder is not there yet',
  },
} as const satisfies OptionTable;
