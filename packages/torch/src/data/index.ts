export { type Collated, defaultCollate } from './collate.ts';
export { DataLoader, type DataLoaderOptions } from './data-loader.ts';
export { ConcatDataset, Dataset, type Samples, Subset, TensorDataset } from './dataset.ts';
export { DistributedSampler, type DistributedSamplerOptions } from './distributed-sampler.ts';
export { DataError } from './errors.ts';
export { BatchSampler, RandomSampler, type Sampler, SequentialSampler } from './sampler.ts';
export { randomSplit } from './split.ts';
