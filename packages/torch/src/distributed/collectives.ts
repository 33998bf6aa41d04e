import { type CollectiveName, native, type ReductionName } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { DistributedError } from './errors.ts';
import { defaultGroup, type ProcessGroup } from './group.ts';
import { Work } from './work.ts';

/** How values of several ranks become one (torch.distributed.ReduceOp). AVG is for floating point only. */
export const ReduceOp = {
  SUM: 'sum',
  AVG: 'avg',
  PRODUCT: 'product',
  MIN: 'min',
  MAX: 'max',
  BAND: 'band',
  BOR: 'bor',
  BXOR: 'bxor',
} as const;
export type ReduceOp = (typeof ReduceOp)[keyof typeof ReduceOp];

export interface CollectiveOptions {
  /** Default: all processes. */
  group?: ProcessGroup | undefined;
  /** Return a `Work` at once instead of waiting on this thread. */
  asyncOp?: boolean | undefined;
}

export interface ReduceOptions extends CollectiveOptions {
  op?: ReduceOp | undefined;
}

export interface PeerOptions {
  group?: ProcessGroup | undefined;
  /** Tells messages between the same two ranks apart. */
  tag?: number;
}

/** A `Work` with `asyncOp: true`; otherwise the collective has ended. */
export type Outcome<O> = O extends { asyncOp: true } ? Work : undefined;

interface Call {
  name: CollectiveName;
  outputs?: readonly Tensor[];
  inputs?: readonly Tensor[];
  root?: number;
  tag?: number;
  op?: ReduceOp | undefined;
  finish?: () => void;
}

const FORMATS = ['contiguous', 'channels_last', 'channels_last_3d'] as const;

function handles(name: string, tensors: readonly Tensor[] = []): Float64Array {
  for (const tensor of tensors) {
    if (tensor.device !== 'cpu') {
      throw new DistributedError(
        'VALUE',
        `${name}: Gloo takes tensors of the CPU, got one of ${tensor.device}`,
      );
    }
    // The bytes travel as they lie in memory.
    if (!FORMATS.some((format) => tensor.isContiguous(format))) {
      const layout = `shape [${tensor.shape.join(', ')}], strides [${tensor.stride().join(', ')}]`;
      throw new DistributedError('VALUE', `${name}: the tensor must be contiguous, got ${layout}`);
    }
  }
  return Float64Array.from(tensors, ({ handle }) => handle);
}

function start(call: Call, group: ProcessGroup = defaultGroup()): Work {
  const { name, op = 'sum', root = 0, tag = 0 } = call;
  const reduction: ReductionName = op === 'avg' ? 'sum' : op;
  const [outputs, inputs] = [handles(name, call.outputs), handles(name, call.inputs)];
  return new Work(
    native().collectiveStart(group.native, name, outputs, inputs, root, tag, reduction),
    call.finish,
  );
}

function run<O extends CollectiveOptions>(call: Call, options: O): Outcome<O> {
  const work = start(call, options.group);
  if (options.asyncOp) return work as Outcome<O>;
  work.wait();
  return undefined as Outcome<O>;
}

/** Gloo has no average: the sum is divided where it arrives. */
function averaging(name: string, result: Tensor, { op, group = defaultGroup() }: ReduceOptions) {
  if (op !== 'avg') return { op };
  if (!/^(bfloat|float|complex)/.test(result.dtype)) {
    throw new DistributedError('VALUE', `${name}: avg takes floating-point tensors, got ${result.dtype}`);
  }
  return { op, finish: () => noGrad(() => void result.div_(group.size)) };
}

/** Makes `tensor` of every rank that of rank `src`. */
export function broadcast<O extends CollectiveOptions>(
  tensor: Tensor,
  src: number,
  options: O = {} as O,
): Outcome<O> {
  const root = (options.group ?? defaultGroup()).rankOf(src);
  return run({ name: 'broadcast', inputs: [tensor], root }, options);
}

/** Makes `tensor` of every rank the sum (or another reduction) of all. */
export function allReduce<O extends ReduceOptions>(tensor: Tensor, options: O = {} as O): Outcome<O> {
  const call: Call = { name: 'allReduce', inputs: [tensor], ...averaging('allReduce', tensor, options) };
  return run(call, options);
}

/** As `allReduce`, with the result on rank `dst` only; on others the tensor's values mean nothing afterwards. */
export function reduce<O extends ReduceOptions>(
  tensor: Tensor,
  dst: number,
  options: O = {} as O,
): Outcome<O> {
  const root = (options.group ?? defaultGroup()).rankOf(dst);
  return run({ name: 'reduce', inputs: [tensor], root, ...averaging('reduce', tensor, options) }, options);
}

/** Fills `tensorList` with the `tensor` of every rank, by rank. All have one shape. */
export function allGather<O extends CollectiveOptions>(
  tensorList: readonly Tensor[],
  tensor: Tensor,
  options: O = {} as O,
): Outcome<O> {
  return run({ name: 'allGather', outputs: tensorList, inputs: [tensor] }, options);
}

/** As `allGather`, to rank `dst` only; `gatherList` is for that rank. */
export function gather<O extends CollectiveOptions>(
  tensor: Tensor,
  options: O & { gatherList?: readonly Tensor[] | undefined; dst?: number } = {} as O,
): Outcome<O> {
  const root = (options.group ?? defaultGroup()).rankOf(options.dst ?? 0);
  return run<O>({ name: 'gather', outputs: options.gatherList ?? [], inputs: [tensor], root }, options);
}

/** Fills `tensor` with this rank's element of the `scatterList` that rank `src` has. */
export function scatter<O extends CollectiveOptions>(
  tensor: Tensor,
  options: O & { scatterList?: readonly Tensor[] | undefined; src?: number } = {} as O,
): Outcome<O> {
  const root = (options.group ?? defaultGroup()).rankOf(options.src ?? 0);
  return run<O>({ name: 'scatter', outputs: [tensor], inputs: options.scatterList ?? [], root }, options);
}

/** Fills `output` with the reduction over all ranks of their `inputList[this rank]`. */
export function reduceScatter<O extends ReduceOptions>(
  output: Tensor,
  inputList: readonly Tensor[],
  options: O = {} as O,
): Outcome<O> {
  const reduction = averaging('reduceScatter', output, options);
  return run({ name: 'reduceScatter', outputs: [output], inputs: inputList, ...reduction }, options);
}

/** Fills `outputList[r]` with `inputList[this rank]` of rank r. */
export function allToAll<O extends CollectiveOptions>(
  outputList: readonly Tensor[],
  inputList: readonly Tensor[],
  options: O = {} as O,
): Outcome<O> {
  return run({ name: 'allToAll', outputs: outputList, inputs: inputList }, options);
}

/** Waits until every rank is here. */
export function barrier<O extends CollectiveOptions>(options: O = {} as O): Outcome<O> {
  return run({ name: 'barrier' }, options);
}

/** Sends to a rank of the world, which must receive a tensor of this shape. */
export function isend(tensor: Tensor, dst: number, options: PeerOptions = {}): Work {
  const { group = defaultGroup(), tag = 0 } = options;
  return start({ name: 'send', inputs: [tensor], root: group.rankOf(dst), tag }, group);
}

export function irecv(tensor: Tensor, src: number, options: PeerOptions = {}): Work {
  const { group = defaultGroup(), tag = 0 } = options;
  return start({ name: 'recv', outputs: [tensor], root: group.rankOf(src), tag }, group);
}

/** `isend`, waiting on this thread. */
export function send(tensor: Tensor, dst: number, options: PeerOptions = {}): void {
  isend(tensor, dst, options).wait();
}

/** `irecv`, waiting on this thread. */
export function recv(tensor: Tensor, src: number, options: PeerOptions = {}): void {
  irecv(tensor, src, options).wait();
}
