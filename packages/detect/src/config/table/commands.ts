export const TRAIN = ['train'] as const;
export const VAL = ['val'] as const;
export const PREDICT = ['predict'] as const;
export const TRAIN_VAL = ['train', 'val'] as const;
export const VAL_PREDICT = ['val', 'predict'] as const;
export const ALL = ['train', 'val', 'predict'] as const;
export const EXPLAIN = ['explain'] as const;
export const EXPORT = ['export'] as const;
/** Commands that run training steps. */
export const STEP = ['train', 'check', 'explain'] as const;
/** Commands that read a data set. */
export const DATA = ['train', 'val', 'check', 'explain'] as const;
/** Commands that run a network on a device of one's choice. */
export const DEVICE = ['train', 'val', 'predict', 'check', 'explain'] as const;
export const EVERY = ['train', 'val', 'predict', 'check', 'explain', 'export'] as const;
