export * from './collectives.ts';
export { DistributedDataParallel, type DistributedDataParallelOptions } from './data-parallel.ts';
export { DistributedError } from './errors.ts';
export {
  destroyProcessGroup,
  getRank,
  getWorldSize,
  type InitProcessGroupOptions,
  initProcessGroup,
  isInitialized,
  newGroup,
  type ProcessGroup,
} from './group.ts';
export { allGatherObject } from './objects.ts';
export { PrefixStore, type Store, TCPStore, type TCPStoreOptions } from './store.ts';
export type { Work } from './work.ts';
