import type { OptionTable } from '../option.ts';
import { ALL, PREDICT, VAL } from './commands.ts';

/** Suppression of `predict`, and in exported graphs. */
const SUPPRESSION = ['val', 'predict', 'export'] as const;

export const evaluationOptions = {
  split: {
    type: 'choice',
    default: 'val',
    choices: ['val', 'test', 'train'],
    commands: VAL,
    help: 'which images of the data.yaml to use',
  },
  conf: {
    type: 'float',
    default: null,
    defaults: { val: 0.001, predict: 0.25, export: 0.25 },
    range: [0, 1],
    commands: SUPPRESSION,
    help: 'detections of lower confidence are dropped',
    aliases: ['conf_thres'],
  },
  iou: {
    type: 'float',
    default: 0.7,
    range: [0, 1],
    commands: [...ALL, 'export'],
    help: 'of two boxes of one class that overlap more, the better one stays',
    aliases: ['iou_thres'],
  },
  max_det: {
    type: 'int',
    default: 300,
    range: [1, 30000],
    commands: [...ALL, 'export'],
    help: 'detections kept in an image',
  },
  agnostic_nms: {
    type: 'bool',
    default: false,
    commands: SUPPRESSION,
    help: 'boxes of different classes suppress each other too',
  },
  classes: {
    type: 'ints',
    default: null,
    range: [0, Number.POSITIVE_INFINITY],
    commands: ['train', 'predict'],
    help: 'class numbers to keep; train: objects of other classes are left out',
  },
  half: {
    type: 'bool',
    default: false,
    commands: SUPPRESSION,
    help: 'run the network in 16 bits, fp16 on a GPU, bf16 on a CPU with native bf16 (elsewhere fp32, with a warning); export: write fp16 weights, if all of them fit',
  },
  save_json: {
    type: 'bool',
    default: false,
    commands: VAL,
    help: 'write predictions.json (the detections as a COCO results file) and metrics.json (all numbers)',
  },
  coco: {
    type: 'bool',
    default: false,
    commands: VAL,
    help: 'also the twelve COCO numbers',
  },
} as const satisfies OptionTable;

export const predictionOptions = {
  source: {
    type: 'text',
    default: null,
    commands: ['predict', 'export'],
    help: 'an image, a folder, a pattern such as images/*.jpg, or a .txt list; export: what the file is checked on (up to 20 images; made up unless given)',
  },
  save_txt: { type: 'bool', default: false, commands: PREDICT, help: 'write labels/*.txt in YOLO format' },
  save_conf: { type: 'bool', default: false, commands: PREDICT, help: 'add the confidence to save_txt' },
  save_crop: { type: 'bool', default: false, commands: PREDICT, help: 'write every box as a picture' },
  show_labels: {
    type: 'bool',
    default: true,
    commands: PREDICT,
    help: 'draw class names',
    negations: ['hide_labels'],
  },
  show_conf: {
    type: 'bool',
    default: true,
    commands: PREDICT,
    help: 'draw confidences',
    negations: ['hide_conf'],
  },
  show_boxes: { type: 'bool', default: true, commands: PREDICT, help: 'draw boxes' },
  line_width: {
    type: 'int',
    default: null,
    range: [1, 100],
    commands: PREDICT,
    help: 'width of box lines in pixels; from the picture size unless given',
    aliases: ['line_thickness'],
  },
} as const satisfies OptionTable;
