/** torch.nn.functional under camelCase names; options objects replace keyword arguments. */
export * from './activation.ts';
export * from './attention.ts';
export * from './batch-norm-silu.ts';
export * from './conv.ts';
export * from './dropout.ts';
export * from './loss.ts';
export * from './normalization.ts';
export * from './pooling.ts';
export * from './resample.ts';
