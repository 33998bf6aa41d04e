declare const kind: unique symbol;

/** A key-value store that the processes of a group share. */
export type NativeStore = { readonly [kind]: 'store' };
/** A process group of c10d over Gloo. */
export type NativeGroup = { readonly [kind]: 'group' };
/** A collective that is under way. It holds its tensors. */
export type NativeWork = { readonly [kind]: 'work' };
/** The engine under DistributedDataParallel. */
export type NativeReducer = { readonly [kind]: 'reducer' };

export type CollectiveName =
  | 'broadcast'
  | 'allReduce'
  | 'reduce'
  | 'allGather'
  | 'gather'
  | 'scatter'
  | 'reduceScatter'
  | 'allToAll'
  | 'barrier'
  | 'send'
  | 'recv';

export type ReductionName = 'sum' | 'product' | 'min' | 'max' | 'band' | 'bor' | 'bxor';

/**
 * c10d's stores, groups and Reducer. What can wait for other processes comes as a promise or, for work, in both
 * forms; everything else asks the store and returns. Times are milliseconds. Errors of a group have the codes
 * DISTRIBUTED_TIMEOUT, DISTRIBUTED_PEER_LOST and DISTRIBUTED.
 */
export interface NativeDistributed {
  /** `worldSize` 0: unknown. With `waitForWorkers` the serving process waits until all have connected. */
  storeOpen(
    host: string,
    port: number,
    worldSize: number,
    serve: boolean,
    timeout: number,
    waitForWorkers: boolean,
  ): Promise<NativeStore>;
  /** The same store with `prefix/` before its keys. */
  storePrefix(store: NativeStore, prefix: string): NativeStore;
  /** null for one with a prefix. */
  storePort(store: NativeStore): number | null;
  /** Lets go of it; the server ends with its last holder. */
  storeClose(store: NativeStore): void;
  storeSet(store: NativeStore, key: string, value: Uint8Array): void;
  storeCompareSet(store: NativeStore, key: string, expected: Uint8Array, value: Uint8Array): Uint8Array;
  storeAdd(store: NativeStore, key: string, amount: number): number | bigint;
  storeDelete(store: NativeStore, key: string): boolean;
  storeCheck(store: NativeStore, keys: readonly string[]): boolean;
  storeNumKeys(store: NativeStore): number;
  storeGet(store: NativeStore, key: string, timeout: number): Promise<Uint8Array>;
  storeWait(store: NativeStore, keys: readonly string[], timeout: number): Promise<void>;

  groupOpen(store: NativeStore, rank: number, size: number, timeout: number): Promise<NativeGroup>;
  groupClose(group: NativeGroup): void;
  /**
   * `root` is the other rank of send and recv. What is changed in place is an input; gather has no outputs and
   * scatter no inputs on ranks other than the root.
   */
  collectiveStart(
    group: NativeGroup,
    name: CollectiveName,
    outputs: Float64Array,
    inputs: Float64Array,
    root: number,
    tag: number,
    reduction: ReductionName,
  ): NativeWork;
  /** Waits on this thread. */
  workWait(work: NativeWork): void;
  /** Waits on a thread of its own. */
  workDone(work: NativeWork): Promise<void>;
  /** Lets go of work that has ended; it must not be used after. */
  workRelease(work: NativeWork): void;
  workIsCompleted(work: NativeWork): boolean;

  /** Hooks into the parameters: their gradients are averaged in buckets as backward makes them. */
  reducerNew(
    group: NativeGroup,
    parameters: Float64Array,
    names: readonly string[],
    bucketBytes: number,
    firstBucketBytes: number,
    findUnusedParameters: boolean,
    gradientAsBucketView: boolean,
    wireDtype: 'float16' | 'bfloat16' | '',
  ): NativeReducer;
  /** From now on notes the largest magnitudes of what this rank gives to each mean. */
  reducerMeasure(reducer: NativeReducer): void;
  /** Those of the last backward, one a parameter: the handle of int32 [parameters], as bits of a float32. */
  reducerMeasured(reducer: NativeReducer): number;
  /** Before a forward whose gradients are to be averaged; tells whether the buckets were made anew. */
  reducerForward(reducer: NativeReducer): boolean;
  /** After it, with its outputs where unused parameters are to be found, else none. */
  reducerBackward(reducer: NativeReducer, outputs: Float64Array): void;
  /** How many parameters each bucket has. */
  reducerBuckets(reducer: NativeReducer): number[];
  reducerClose(reducer: NativeReducer): void;
}
