import type { OptionTable } from '../option.ts';
import { DATA, PREDICT, STEP, TRAIN, VAL } from './commands.ts';

/** Pairs of visible and infrared pictures. */
export const pairOptions = {
  fusion: {
    type: 'path',
    default: null,
    commands: STEP,
    help: 'train a network of two streams on pairs: early, data, mid, decision, gated, cross-attention, or a .yaml model file with modalities; model names its blocks and size (yolov8n … yolo11x). In train-dual mid unless given',
  },
  modality: {
    type: 'choice',
    default: null,
    choices: ['visible', 'infrared'],
    commands: DATA,
    help: 'of pairs only the pictures of one sensor, for a network of one stream; in val that of its training unless given',
  },
  ir_channels: {
    type: 'int',
    default: null,
    range: [1, 3],
    commands: STEP,
    help: 'channels of infrared in a network of two streams: 1, or 3 (the same three times); 3, or those of model, unless given',
  },
  ir_gain: {
    type: 'float',
    default: 0.2,
    range: [0, 1],
    commands: TRAIN,
    help: "pairs: jitter of infrared's contrast, ± part",
  },
  ir_offset: {
    type: 'float',
    default: 0.1,
    range: [0, 1],
    commands: TRAIN,
    help: "pairs: jitter of infrared's level, ± part of the scale",
  },
  ir_noise: {
    type: 'float',
    default: 0.02,
    range: [0, 1],
    commands: TRAIN,
    help: 'pairs: noise on infrared, largest standard deviation as a part of the scale',
  },
  modality_dropout: {
    type: 'float',
    default: 0,
    range: [0, 1],
    commands: TRAIN,
    help: 'pairs: probability that one of the two pictures is missing (zeros), so that the network learns to do without',
  },
  missing: {
    type: 'choice',
    default: null,
    choices: ['visible', 'infrared'],
    commands: VAL,
    help: 'networks of two streams: measure them with the pictures of this sensor missing (zeros)',
  },
  source_ir: {
    type: 'text',
    default: null,
    commands: PREDICT,
    help: 'networks of two streams: the infrared pictures, as source names the visible ones; found by the names of the folders unless given',
    aliases: ['ir'],
  },
} as const satisfies OptionTable;
