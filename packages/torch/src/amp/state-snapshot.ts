import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import { foreachCopy_ } from '../ops/foreach.ts';
import { empty } from '../tensor/creation.ts';
import type { DType } from '../tensor/dtype.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import { Replicas } from './replicas.ts';

const where = op<(condition: Tensor, a: Tensor, b: Tensor) => Tensor>('aten::where', 'self');

/** Tensors of one device and dtype, and a block of memory that holds a copy of all of them. */
interface Group {
  readonly device: string;
  readonly dtype: DType;
  /** Which of the tensors. */
  readonly positions: readonly number[];
  readonly saved: Block;
  /** A second block, for choosing between then and now on the device. */
  scratch: Block | undefined;
}

interface Block {
  readonly whole: Tensor;
  /** One for each tensor, in its shape. */
  readonly parts: readonly Tensor[];
}

/**
 * The values that tensors had at one moment. Each device and dtype has one block of memory, so taking and
 * putting back is one list operation, however many tensors there are.
 */
export class StateSnapshot {
  private tensors: readonly Tensor[] = [];
  private groups: Group[] = [];

  /** Notes the values of these tensors. */
  take(tensors: readonly Tensor[]): void {
    if (!sameObjects(tensors, this.tensors)) this.layOut(tensors);
    noGrad(() => {
      for (const { saved, positions } of this.groups) foreachCopy_(saved.parts, pick(tensors, positions));
    });
  }

  /**
   * Notes other values for these tensors, each of its tensor's shape.
   * @throws AmpError VALUE when one is missing
   */
  set(tensors: readonly Tensor[], values: readonly (Tensor | undefined)[]): void {
    if (values.length !== tensors.length || values.includes(undefined)) {
      throw new AmpError(
        'VALUE',
        `${tensors.length} tensors are to be noted, but there are not as many values`,
      );
    }
    this.take(tensors);
    noGrad(() => {
      this.values.forEach((value, i) => {
        value.copy_(values[i]!);
      });
    });
  }

  /** The noted values, in the order of the tensors; they belong to this object. */
  get values(): Tensor[] {
    const values = new Array<Tensor>(this.tensors.length);
    for (const { saved, positions } of this.groups) {
      positions.forEach((position, i) => {
        values[position] = saved.parts[i]!;
      });
    }
    return values;
  }

  /**
   * Puts the noted values back.
   * @param into where to, when a module has replaced some of the tensors since
   */
  restore(into: readonly Tensor[]): void {
    noGrad(() => {
      for (const { saved, positions } of this.groups) foreachCopy_(pick(into, positions), saved.parts);
    });
  }

  /** Puts the noted values back where `condition` (one bool) says so; the host is not asked. */
  restoreWhere(condition: Tensor, into: readonly Tensor[]): void {
    noGrad(() =>
      scope(() => {
        const conditions = new Replicas(condition);
        for (const group of this.groups) {
          const { saved, positions, device } = group;
          const live = pick(into, positions);
          const now = scratchOf(group);
          foreachCopy_(now.parts, live);
          now.whole.copy_(where(conditions.on(device), saved.whole, now.whole));
          foreachCopy_(live, now.parts);
        }
      }),
    );
  }

  /** Runs `fn` while the tensors have their noted values. */
  during(tensors: readonly Tensor[], fn: () => void): void {
    noGrad(() => {
      for (const group of this.groups) foreachCopy_(scratchOf(group).parts, pick(tensors, group.positions));
    });
    this.restore(tensors);
    try {
      fn();
    } finally {
      noGrad(() => {
        for (const group of this.groups) foreachCopy_(pick(tensors, group.positions), scratchOf(group).parts);
      });
    }
  }

  private layOut(tensors: readonly Tensor[]): void {
    for (const { saved, scratch } of this.groups) for (const block of [saved, scratch]) disposeOf(block);
    const positions = new Map<string, number[]>();
    tensors.forEach((tensor, i) => {
      const key = `${tensor.device} ${tensor.dtype}`;
      positions.set(key, [...(positions.get(key) ?? []), i]);
    });
    this.groups = Array.from(positions.values(), (at) => {
      const { device, dtype } = tensors[at[0]!]!;
      const saved = blockFor(pick(tensors, at), device, dtype);
      return { device, dtype, positions: at, saved, scratch: undefined };
    });
    this.tensors = [...tensors];
  }
}

function scratchOf(group: Group): Block {
  group.scratch ??= blockFor(group.saved.parts, group.device, group.dtype);
  return group.scratch;
}

function blockFor(tensors: readonly Tensor[], device: string, dtype: DType): Block {
  return noGrad(() =>
    scope(() => {
      const sizes = tensors.map((tensor) => tensor.numel());
      const whole = keep(empty([sizes.reduce((sum, size) => sum + size, 0)], { device, dtype }));
      let begin = 0;
      const parts = tensors.map((tensor, i) => {
        const part = whole.narrow(0, begin, sizes[i]!).view(tensor.shape);
        begin += sizes[i]!;
        return keep(part);
      });
      return { whole, parts };
    }),
  );
}

function disposeOf(block: Block | undefined): void {
  for (const part of block?.parts ?? []) part.dispose();
  block?.whole.dispose();
}

const pick = (tensors: readonly Tensor[], positions: readonly number[]) =>
  positions.map((position) => tensors[position]!);

const sameObjects = (a: readonly Tensor[], b: readonly Tensor[]) =>
  a.length === b.length && a.every((tensor, i) => tensor === b[i]);
