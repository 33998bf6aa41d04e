import type { OptionTable } from '../option.ts';
import { STEP, TRAIN } from './commands.ts';

export const optimizerOptions = {
  optimizer: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', 'SGD', 'Adam', 'AdamW', 'Adamax', 'NAdam', 'RAdam', 'RMSProp'],
    commands: TRAIN,
    help: 'auto: SGD (lr 0.01, momentum 0.9) above 10000 iterations, else AdamW with a rate from the class count',
    later: [[/^MuSGD$/i, 'Mezzo has no Muon; SGD is the nearest']],
  },
  lr0: { type: 'float', default: 0.01, above: 0, commands: TRAIN, help: 'learning rate after warm-up' },
  lrf: {
    type: 'float',
    default: 0.01,
    range: [0, 1],
    commands: TRAIN,
    help: 'learning rate at the end, as a part of lr0',
  },
  momentum: {
    type: 'float',
    default: 0.937,
    range: [0, 1],
    commands: TRAIN,
    help: 'momentum of SGD and RMSProp, beta1 of the Adam family',
  },
  weight_decay: {
    type: 'float',
    default: 0.0005,
    range: [0, 1],
    commands: TRAIN,
    help: 'L2 decay of weights (not of biases and norms) at the nominal batch size',
  },
  cos_lr: { type: 'bool', default: false, commands: TRAIN, help: 'cosine schedule instead of a linear one' },
  warmup_epochs: {
    type: 'float',
    default: 3,
    range: [0, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'epochs in which rate, momentum and accumulation ramp up',
  },
  warmup_momentum: {
    type: 'float',
    default: 0.8,
    range: [0, 1],
    commands: TRAIN,
    help: 'momentum of SGD and RMSProp at the start of warm-up',
  },
  warmup_bias_lr: {
    type: 'float',
    default: 0.1,
    range: [0, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'learning rate of biases at the start of warm-up',
  },
  nbs: {
    type: 'int',
    default: 64,
    range: [1, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'nominal batch size: gradients of smaller batches are added up to it',
  },
  accumulate: {
    type: 'int',
    default: null,
    range: [1, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'batches whose gradients are added up to one optimizer step; nbs / batch, rounded, unless given',
  },
  clip: {
    type: 'float',
    default: 10,
    range: [0, Number.POSITIVE_INFINITY],
    commands: TRAIN,
    help: 'largest L2 norm of all gradients together; 0: no clipping',
  },
} as const satisfies OptionTable;

export const lossOptions = {
  box: {
    type: 'float',
    default: 7.5,
    range: [0, 1e4],
    commands: STEP,
    help: 'gain of the box (CIoU) loss; with anchors, the default stands for 0.05',
  },
  cls: { type: 'float', default: 0.5, range: [0, 1e4], commands: STEP, help: 'gain of the class loss' },
  dfl: {
    type: 'float',
    default: 1.5,
    range: [0, 1e4],
    commands: STEP,
    help: 'gain of the distribution focal loss',
  },
  cls_pw: {
    type: 'float',
    default: 0,
    range: [0, 1],
    commands: TRAIN,
    help: 'weights classes in the class loss by their inverse frequency to this power; 0: all alike, 1: in full',
  },
  obj: {
    type: 'float',
    default: 1,
    range: [0, 1e4],
    commands: STEP,
    help: 'gain of the objectness loss of networks with anchors (yolov5n … yolov5x)',
  },
  anchor_t: {
    type: 'float',
    default: 4,
    range: [1, 100],
    commands: STEP,
    help: 'largest factor between the sides of a box and of an anchor that learns it',
  },
  noautoanchor: {
    type: 'bool',
    default: false,
    commands: TRAIN,
    help: 'keeps the anchors of the model, however few boxes they fit',
  },
} as const satisfies OptionTable;
