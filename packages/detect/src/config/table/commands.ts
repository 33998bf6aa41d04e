export const TRAIN = ['train'] as const;
export const VAL = ['val'] as const;
export const PREDICT = ['predict'] as const;
export const TRAIN_VAL = ['train', 'val'] as const;
export const VAL_PREDICT = ['val', 'predict'] as const;
export const ALL = ['train', 'val', 'predict'] as const;
