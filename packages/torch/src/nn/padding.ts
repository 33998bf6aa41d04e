import type { Tensor } from '../tensor/tensor.ts';
import { type PadOptions, pad } from './functional/resample.ts';
import { Layer } from './layer.ts';
import { tuple } from './python-repr.ts';

/** The same on all sides, or [left, right], [left, right, top, bottom], [left, …, front, back]. */
export type Padding1d = number | readonly [number, number];
export type Padding2d = number | readonly [number, number, number, number];
export type Padding3d = number | readonly [number, number, number, number, number, number];

/** Pads the last `dims` dimensions of [N, C, …] or [C, …]. */
abstract class Padding extends Layer {
  readonly padding: readonly number[];

  constructor(padding: number | readonly number[], dims: number) {
    super();
    this.padding = typeof padding === 'number' ? new Array<number>(2 * dims).fill(padding) : padding;
  }

  protected abstract readonly mode: PadOptions;

  override forward(input: Tensor): Tensor {
    return pad(input, this.padding, this.mode);
  }

  override extraRepr(): string {
    return tuple(this.padding);
  }
}

abstract class ZeroPad extends Padding {
  protected override get mode(): PadOptions {
    return {};
  }
}

abstract class ConstantPad extends Padding {
  readonly value: number;

  constructor(padding: number | readonly number[], dims: number, value: number) {
    super(padding, dims);
    this.value = value;
  }

  protected override get mode(): PadOptions {
    return { value: this.value };
  }

  override extraRepr(): string {
    return `padding=${tuple(this.padding)}, value=${this.value}`;
  }
}

abstract class ReflectionPad extends Padding {
  protected override get mode(): PadOptions {
    return { mode: 'reflect' };
  }
}

abstract class ReplicationPad extends Padding {
  protected override get mode(): PadOptions {
    return { mode: 'replicate' };
  }
}

abstract class CircularPad extends Padding {
  protected override get mode(): PadOptions {
    return { mode: 'circular' };
  }
}

/** Adds zeros. Input [N, C, L], or without the N. */
export class ZeroPad1d extends ZeroPad {
  constructor(padding: Padding1d) {
    super(padding, 1);
  }
}

/** Adds zeros. Input [N, C, H, W], or without the N. */
export class ZeroPad2d extends ZeroPad {
  constructor(padding: Padding2d) {
    super(padding, 2);
  }
}

/** Adds zeros. Input [N, C, D, H, W], or without the N. */
export class ZeroPad3d extends ZeroPad {
  constructor(padding: Padding3d) {
    super(padding, 3);
  }
}

/** Adds a constant. Input [N, C, L], or without the N. */
export class ConstantPad1d extends ConstantPad {
  constructor(padding: Padding1d, value: number) {
    super(padding, 1, value);
  }
}

/** Adds a constant. Input [N, C, H, W], or without the N. */
export class ConstantPad2d extends ConstantPad {
  constructor(padding: Padding2d, value: number) {
    super(padding, 2, value);
  }
}

/** Adds a constant. Input [N, C, D, H, W], or without the N. */
export class ConstantPad3d extends ConstantPad {
  constructor(padding: Padding3d, value: number) {
    super(padding, 3, value);
  }
}

/** Mirrors at the edge. Input [N, C, L], or without the N. */
export class ReflectionPad1d extends ReflectionPad {
  constructor(padding: Padding1d) {
    super(padding, 1);
  }
}

/** Mirrors at the edge. Input [N, C, H, W], or without the N. */
export class ReflectionPad2d extends ReflectionPad {
  constructor(padding: Padding2d) {
    super(padding, 2);
  }
}

/** Mirrors at the edge. Input [N, C, D, H, W], or without the N. */
export class ReflectionPad3d extends ReflectionPad {
  constructor(padding: Padding3d) {
    super(padding, 3);
  }
}

/** Repeats the edge. Input [N, C, L], or without the N. */
export class ReplicationPad1d extends ReplicationPad {
  constructor(padding: Padding1d) {
    super(padding, 1);
  }
}

/** Repeats the edge. Input [N, C, H, W], or without the N. */
export class ReplicationPad2d extends ReplicationPad {
  constructor(padding: Padding2d) {
    super(padding, 2);
  }
}

/** Repeats the edge. Input [N, C, D, H, W], or without the N. */
export class ReplicationPad3d extends ReplicationPad {
  constructor(padding: Padding3d) {
    super(padding, 3);
  }
}

/** Goes on at the other side. Input [N, C, L], or without the N. */
export class CircularPad1d extends CircularPad {
  constructor(padding: Padding1d) {
    super(padding, 1);
  }
}

/** Goes on at the other side. Input [N, C, H, W], or without the N. */
export class CircularPad2d extends CircularPad {
  constructor(padding: Padding2d) {
    super(padding, 2);
  }
}

/** Goes on at the other side. Input [N, C, D, H, W], or without the N. */
export class CircularPad3d extends CircularPad {
  constructor(padding: Padding3d) {
    super(padding, 3);
  }
}
