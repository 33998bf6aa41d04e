/** torch.nn.functional under camelCase names; options objects replace keyword arguments. */
export * from './activation.ts';
export * from './attention.ts';
export * from './batch-norm-silu.ts';
export * from './conv.ts';
export * from './ctc.ts';
export * from './distance.ts';
export * from './dropout.ts';
export * from './embedding-bag.ts';
export * from './likelihood-loss.ts';
export * from './loss.ts';
export * from './margin-loss.ts';
export * from './normalization.ts';
export * from './pooling.ts';
export type { Reduction, ReductionOption } from './reduction.ts';
export * from './resample.ts';
