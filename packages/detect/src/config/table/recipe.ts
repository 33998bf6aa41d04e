import type { OptionTable } from '../option.ts';
import { STEP, TRAIN, TRAIN_VAL, VAL_PREDICT } from './commands.ts';

/** The switches that a recipe sets; each can be set alone. */
export const recipeOptions = {
  warmup_rule: {
    type: 'choice',
    default: null,
    choices: ['epochs', 'floor100'],
    recipe: { '8.4': 'epochs', '8.3': 'floor100' },
    commands: TRAIN,
    help: 'length of warm-up; epochs: min(warmup_epochs, epochs - 1) epochs, floor100: warmup_epochs, at least 100 steps',
  },
  inflate: {
    type: 'int',
    default: null,
    range: [0, 1024],
    recipe: { '8.4': 16, '8.3': 0 },
    commands: STEP,
    help: 'boxes with a shorter side are enlarged to this many pixels when anchors inside are sought; 0: never',
  },
  box_bias: {
    type: 'float',
    default: null,
    recipe: { '8.4': 2, '8.3': 1 },
    commands: STEP,
    help: 'bias that the box branch of a new head starts from',
  },
  match: {
    type: 'choice',
    default: null,
    choices: ['confidence', 'iou'],
    recipe: { '8.4': 'confidence', '8.3': 'iou' },
    commands: TRAIN_VAL,
    help: 'order in which detections take ground-truth boxes in validation',
  },
  ap_end: {
    type: 'choice',
    default: null,
    choices: ['drop', 'slope'],
    recipe: { '8.4': 'drop', '8.3': 'slope' },
    commands: TRAIN_VAL,
    help: 'precision after the last recall reached; drop: zero at once, slope: a line to zero at recall 1',
  },
  edges: {
    type: 'choice',
    default: null,
    choices: ['keep', 'cut'],
    recipe: { '8.4': 'keep', '8.3': 'cut' },
    commands: TRAIN_VAL,
    help: 'detections that reach beyond the picture, when they are matched in validation; cut: at its edge',
  },
  box_gain: {
    type: 'choice',
    default: null,
    choices: ['axis', 'single'],
    recipe: { '8.4': 'axis', '8.3': 'single' },
    commands: ['train', ...VAL_PREDICT],
    help: 'scale of boxes on their way back to the original picture; axis: one for each axis',
  },
  fitness: {
    type: 'choice',
    default: null,
    choices: ['map', 'weighted'],
    recipe: { '8.4': 'map', '8.3': 'weighted' },
    commands: TRAIN,
    help: 'what the best epoch maximises; map: mAP50-95, weighted: 0.1 mAP50 + 0.9 mAP50-95',
  },
} as const satisfies OptionTable;
