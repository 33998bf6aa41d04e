import type { Option, OptionTable, Value } from '../option.ts';
import { ALL, EVERY, PREDICT, TRAIN, VAL_PREDICT } from './commands.ts';

const TRAIN_EXPORT = ['train', 'export'] as const;
const SEGMENT = 'it belongs to segmentation, and Mezzo trains detectors';
const POSE = 'it belongs to pose estimation, and Mezzo trains detectors';
const CLASSIFY = 'it belongs to classification, and Mezzo trains detectors';
const OBB = 'it belongs to oriented boxes, and Mezzo trains detectors';
const OTHER = 'it belongs to another task of Ultralytics, and Mezzo trains detectors';
const TRACK = 'Mezzo has no tracker';
const EXPORT = 'it belongs to formats that other programs make; mezzo export format=… names them';
const SIMPLE = 'the graph is written in its simple form';
const DISTILL = 'distillation is not supported';
const VIDEO = 'it belongs to video, and Mezzo reads pictures';
const NO_LONGER = 'Ultralytics no longer has it, and Mezzo never had it';

function foreign(
  type: Option['type'],
  initial: Value,
  refused: string,
  rest: Partial<Pick<Option, 'same' | 'commands' | 'aliases'>> = {},
) {
  return { type, default: initial, commands: TRAIN, help: '', refused, ...rest } as const;
}

/**
 * Options of Ultralytics and YOLOv5 that detection does not use or Mezzo does not have. Their defaults are
 * accepted, so that any `args.yaml` works; anything else is refused, because it would not be obeyed.
 */
export const foreignOptions = {
  task: foreign('text', 'detect', 'Mezzo detects: segment, pose, classify and obb are other tasks', {
    commands: EVERY,
  }),
  save_dir: foreign('path', null, 'project and name choose the run folder', { commands: ALL }),
  cls_remap: foreign('bool', true, 'classes are always taken over by name and shape'),
  profile: foreign('bool', false, 'profiling for other run times is not supported'),
  compile: foreign('bool|text', false, 'LibTorch has no compiler for training'),
  dropout: foreign('float', 0, CLASSIFY),
  overlap_mask: foreign('bool', true, SEGMENT),
  mask_ratio: foreign('int', 4, SEGMENT),
  retina_masks: foreign('bool', false, SEGMENT),
  pose: foreign('float', 12, POSE),
  kobj: foreign('float', 1, POSE),
  rle: foreign('float', 1, POSE),
  angle: foreign('float', 1, OBB),
  dlog: foreign('float', 1, OTHER),
  dgrad: foreign('float', 0.5, OTHER),
  dlam: foreign('float', 1, OTHER),
  auto_augment: foreign('text', 'randaugment', CLASSIFY),
  erasing: foreign('float', 0.4, CLASSIFY),
  crop_fraction: foreign('float', 1, CLASSIFY),
  augmentations: foreign('text', null, 'transformations of another library cannot be used'),
  distill_model: foreign('path', null, DISTILL),
  dis: foreign('float', 6, DISTILL),
  tracker: foreign('text', 'tracktrack.yaml', TRACK, { same: ['botsort.yaml', 'bytetrack.yaml'] }),
  vid_stride: foreign('int', 1, VIDEO, { commands: PREDICT }),
  stream_buffer: foreign('bool', false, VIDEO, { commands: PREDICT }),
  save_frames: foreign('bool', false, VIDEO, { commands: PREDICT }),
  show: foreign('bool', false, 'pictures are written, not shown', {
    commands: PREDICT,
    aliases: ['view_img'],
  }),
  visualize: foreign('bool', false, 'pictures of features are not supported', { commands: PREDICT }),
  embed: foreign('ints', null, 'feature vectors are not supported', { commands: PREDICT }),
  augment: foreign('bool', false, 'several passes over one image are not supported', {
    commands: VAL_PREDICT,
  }),
  dnn: foreign('bool', false, 'other run times are not supported', { commands: VAL_PREDICT }),
  end2end: foreign('bool', null, 'heads without NMS are not supported', { commands: VAL_PREDICT }),
  save_hybrid: foreign('bool', false, NO_LONGER, { commands: VAL_PREDICT }),
  keras: foreign('bool', false, EXPORT, { commands: TRAIN_EXPORT }),
  optimize: foreign('bool', false, EXPORT, { commands: TRAIN_EXPORT }),
  int8: foreign('bool', false, EXPORT, { commands: TRAIN_EXPORT }),
  quantize: foreign('text', null, EXPORT, { commands: TRAIN_EXPORT }),
  simplify: foreign('bool', true, SIMPLE, { commands: TRAIN_EXPORT, same: [false] }),
  workspace: foreign('float', null, EXPORT, { commands: TRAIN_EXPORT, same: [4] }),
  anchors: foreign(
    'int',
    0,
    'a network has as many anchors as its description says, and AutoAnchor keeps to it',
    {
      same: [3],
    },
  ),
  obj_pw: foreign('float', 1, 'objects and background count alike in the objectness loss'),
  iou_t: foreign('float', 0.2, 'boxes are given to anchors by anchor_t, not by their overlap'),
  fl_gamma: foreign('float', 0, 'there is no focal loss'),
  label_smoothing: foreign('float', 0, NO_LONGER),
  image_weights: foreign('bool', false, NO_LONGER),
  quad: foreign('bool', false, NO_LONGER),
  evolve: foreign('int', null, 'searching for hyperparameters (tune) is not supported'),
  local_rank: foreign('int', -1, 'launchers tell the rank in the environment'),
} satisfies OptionTable;
