import { type NativeReducer, native } from '@mezzo/libtorch';
import { isGradEnabled } from '../autograd/modes.ts';
import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import { Module } from '../nn/module.ts';
import { adopt } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { tensorsIn } from '../tensor/tree.ts';
import { broadcast } from './collectives.ts';
import { DistributedError } from './errors.ts';
import { defaultGroup, type ProcessGroup } from './group.ts';
import { requireSameShapes } from './same-shapes.ts';

const MIB = 1 << 20;

export interface DistributedDataParallelOptions {
  /** Default: all processes. */
  processGroup?: ProcessGroup;
  /** Gradients are exchanged in pieces of this many MiB; the first is of one at most. */
  bucketCapMb?: number;
  /**
   * For models of which a step does not use every parameter: looks through the graph after each forward. Without
   * it such a step is an error that names the parameters.
   */
  findUnusedParameters?: boolean;
  /** Gradients lie in the buckets themselves, which saves their size in memory; `detach_` refuses them then. */
  gradientAsBucketView?: boolean;
  /**
   * float32 gradients travel in this dtype, in half the bytes, and are averaged in it (PyTorch's fp16_compress_hook and
   * bf16_compress_hook). float16 holds no number above 65504, so a loss scale must leave room.
   */
  compression?: 'float16' | 'bfloat16';
  /**
   * Gives every rank the buffers of rank 0 (running statistics) before a forward that follows one whose gradients
   * were averaged. To evaluate on one rank, call `module` itself.
   */
  broadcastBuffers?: boolean;
}

/**
 * Trains one model in several processes (torch.nn.parallel.DistributedDataParallel). Parameters and buffers start as
 * those of the group's first rank; backward leaves on every rank the mean of all ranks' gradients, exchanged while
 * it runs. Make it after the model is on its device; the optimizer takes the parameters as they are.
 */
export class DistributedDataParallel<M extends Module = Module> extends Module {
  readonly module: M;
  readonly #group: ProcessGroup;
  readonly #reducer: NativeReducer;
  /**
   * The parameters of which gradients are averaged.
   * @internal
   */
  readonly trained: readonly Tensor[];
  /** Theirs. */
  readonly #names: readonly string[];
  readonly #findUnused: boolean;
  readonly #broadcastBuffers: boolean;
  #synchronizes = true;
  /** As in PyTorch, only after a forward whose gradients were averaged. */
  #buffersDue = true;

  /**
   * @throws DistributedError VALUE where the ranks' models differ, or nothing is to be trained
   */
  constructor(module: M, options: DistributedDataParallelOptions = {}) {
    super();
    const { processGroup = defaultGroup(), bucketCapMb = 25, findUnusedParameters = false } = options;
    const { gradientAsBucketView = true, broadcastBuffers = true, compression } = options;
    const trained = [...module.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
    if (trained.length === 0) {
      throw new DistributedError('VALUE', 'DistributedDataParallel: no parameter requires a gradient');
    }
    if (!(bucketCapMb > 0)) {
      throw new DistributedError('VALUE', `bucketCapMb must be positive, got ${bucketCapMb}`);
    }
    if (compression !== undefined && compression !== 'float16' && compression !== 'bfloat16') {
      throw new DistributedError(
        'VALUE',
        `compression must be float16 or bfloat16, got ${String(compression)}`,
      );
    }
    this.module = module;
    this.#group = processGroup;
    this.#findUnused = findUnusedParameters;
    this.#broadcastBuffers = broadcastBuffers;
    requireSameShapes([...module.namedParameters(), ...module.namedBuffers()], processGroup);
    this.#fromFirstRank([...module.parameters(), ...module.buffers()]);
    this.trained = trained.map(([, parameter]) => parameter);
    this.#names = trained.map(([name]) => name);
    this.#reducer = native().reducerNew(
      processGroup.native,
      Float64Array.from(this.trained, ({ handle }) => handle),
      this.#names,
      Math.round(bucketCapMb * MIB),
      Math.min(MIB, Math.round(bucketCapMb * MIB)),
      findUnusedParameters,
      gradientAsBucketView,
      compression ?? '',
    );
  }

  /**
   * @throws DistributedError DISTRIBUTED naming the parameters to which the step before gave no gradient
   */
  override forward(...inputs: Parameters<M['forward']>): ReturnType<M['forward']> {
    const synchronizes = this.#synchronizes && isGradEnabled();
    if (synchronizes) this.#prepare();
    if (this.#broadcastBuffers && this.#buffersDue) this.#fromFirstRank(this.module.buffers());
    const forward = this.module.forward.bind(this.module) as (...inputs: unknown[]) => unknown;
    const output = forward(...inputs);
    this.#buffersDue = synchronizes;
    if (synchronizes) {
      const found = this.#findUnused ? tensorsIn(output) : [];
      native().reducerBackward(
        this.#reducer,
        Float64Array.from(found, ({ handle }) => handle),
      );
    }
    return output as ReturnType<M['forward']>;
  }

  /**
   * Forward and backward in `fn` leave gradients as they are, each rank its own, to accumulate; the first pass after
   * it averages the sums.
   */
  noSync<T>(fn: () => T): T {
    refuseAsync('noSync', fn);
    const before = this.#synchronizes;
    this.#synchronizes = false;
    try {
      const result = fn();
      refusePromise('noSync', result);
      return result;
    } finally {
      this.#synchronizes = before;
    }
  }

  /** The processes that train together. */
  get processGroup(): ProcessGroup {
    return this.#group;
  }

  /**
   * From now on notes the largest magnitude of every gradient that this rank brings to the mean.
   * @internal
   */
  measureOwn(): void {
    native().reducerMeasure(this.#reducer);
  }

  /**
   * Those of the last backward: int32, one for each of `trained`, the float32 bits of gradients divided by the group's
   * size.
   * @internal
   */
  ownMagnitudes(): Tensor {
    return adopt(native().reducerMeasured(this.#reducer));
  }

  /** How many parameters each bucket of gradients holds, in the order in which they are exchanged. */
  bucketSizes(): number[] {
    return native().reducerBuckets(this.#reducer);
  }

  /** Takes its hooks off the parameters; the module can be used on. */
  dispose(): void {
    native().reducerClose(this.#reducer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #prepare(): void {
    try {
      native().reducerForward(this.#reducer);
    } catch (cause) {
      const indices = /did not receive grad for rank \d+: ([\d ]+)/.exec((cause as Error).message)?.[1];
      if (indices === undefined) throw cause;
      const names = indices
        .trim()
        .split(' ')
        .map((index) => this.#names[Number(index)]);
      throw new DistributedError(
        'DISTRIBUTED',
        `rank ${this.#group.rank}: the step before gave no gradient to ${names.join(', ')}, so the ranks' ` +
          'gradients were not averaged',
        { hint: 'use every parameter, freeze it, or pass findUnusedParameters: true', cause },
      );
    }
  }

  #fromFirstRank(tensors: readonly Tensor[]): void {
    const options = { group: this.#group, asyncOp: true } as const;
    const works = tensors.map((tensor) => broadcast(tensor, this.#group.ranks[0]!, options));
    for (const work of works) work.wait();
  }
}
