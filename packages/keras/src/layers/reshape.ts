import { type DType, nn, op, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { elements, requireRank, type Shape, shapeMismatch } from '../graph/shape.ts';
import { AXES } from './conv.ts';
import { Layer, type LayerOptions } from './layer.ts';
import { channelsFirst, channelsLast, type Sizes, sizesOf } from './window.ts';

/** Layers that move values and do not compute: integers stay integers. */
abstract class Rearrangement extends Layer {
  protected override readonly keepsIntegers = true;

  override computeOutputDtype(input: DType): DType {
    return input.startsWith('float') || input.startsWith('bfloat') ? this.computeDtype : input;
  }
}

/** Each sample as one row. */
export class Flatten extends Rearrangement {
  override computeOutputShape(inputShape: Shape): Shape {
    return [inputShape[0]!, elements(inputShape.slice(1))];
  }

  protected override compute(x: Tensor): Tensor {
    return x.reshape(x.size(0), -1);
  }
}

/** Each sample in other sizes; -1 stands for what is left. */
export class Reshape extends Rearrangement {
  readonly #target: readonly number[];

  constructor(targetShape: readonly number[], options: LayerOptions = {}) {
    super(options);
    this.#target = targetShape;
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const count = elements(inputShape.slice(1));
    const known = this.#target.reduce((product, size) => (size === -1 ? product : product * size), 1);
    const open = this.#target.includes(-1);
    if (count !== null && (open ? count % known !== 0 : count !== known)) {
      throw shapeMismatch(this.name, `samples that fill [${this.#target.join(', ')}]`, inputShape);
    }
    const rest = count === null ? null : count / known;
    return [inputShape[0]!, ...this.#target.map((size) => (size === -1 ? rest : size))];
  }

  protected override compute(x: Tensor): Tensor {
    return x.reshape(x.size(0), ...this.#target);
  }
}

/** The axes of each sample in another order, counted from 1. */
export class Permute extends Rearrangement {
  readonly #dims: readonly number[];

  constructor(dims: readonly number[], options: LayerOptions = {}) {
    super(options);
    this.#dims = dims;
    if (dims.toSorted((a, b) => a - b).some((dim, i) => dim !== i + 1)) {
      throw new KerasError(
        'BAD_OPTION',
        `layer '${this.name}': dims must be 1 to n in some order, not [${dims.join(', ')}]`,
      );
    }
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, this.#dims.length + 1, '(batch and those that are permuted)');
    return [inputShape[0]!, ...this.#dims.map((dim) => inputShape[dim]!)];
  }

  protected override compute(x: Tensor): Tensor {
    return x.permute(0, ...this.#dims);
  }
}

/** [batch, features] → [batch, n, features] */
export class RepeatVector extends Rearrangement {
  readonly #times: number;

  constructor(n: number, options: LayerOptions = {}) {
    super(options);
    this.#times = n;
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 2, '(batch, features)');
    return [inputShape[0]!, this.#times, inputShape[1]!];
  }

  protected override compute(x: Tensor): Tensor {
    return x.unsqueeze(1).expand(-1, this.#times, -1);
  }
}

type Sides = readonly (readonly [before: number, after: number])[];
/** One number for all sides, one for each axis, or [before, after] for each. */
export type SidesOption = number | readonly [number, number] | Sides;

const padOp = op('aten::pad');

const sidesOf = (given: SidesOption): Sides => {
  if (typeof given === 'number') return [0, 1].map(() => [given, given]);
  return given.map((side) => (typeof side === 'number' ? [side, side] : side));
};

/** Adds (or with negative amounts takes away) rows and columns of x [batch, rows, columns, channels]. */
abstract class Border extends Rearrangement {
  readonly #sides: Sides;

  constructor(sides: SidesOption, sign: 1 | -1, options: LayerOptions) {
    super(options);
    this.#sides = sidesOf(sides).map(([before, after]) => [sign * before, sign * after]);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 4, AXES[2]);
    const sizes = this.#sides.map(([before, after], i) => {
      const size = inputShape[i + 1]!;
      return size === null ? null : size + before + after;
    });
    if (sizes.some((size) => size !== null && size < 1)) {
      throw shapeMismatch(this.name, 'rows and columns that leave something', inputShape);
    }
    return [inputShape[0]!, ...sizes, inputShape[3]!];
  }

  protected override compute(x: Tensor): Tensor {
    const [rows, columns] = this.#sides;
    return padOp(x, [0, 0, ...columns!, ...rows!]);
  }
}

export class ZeroPadding2D extends Border {
  constructor(padding: SidesOption = 1, options: LayerOptions = {}) {
    super(padding, 1, options);
  }
}

export class Cropping2D extends Border {
  constructor(cropping: SidesOption = 0, options: LayerOptions = {}) {
    super(cropping, -1, options);
  }
}

export interface UpSampling2DOptions extends LayerOptions {
  /** Default 2. */
  size?: Sizes;
  /** Default 'nearest'. */
  interpolation?: 'nearest' | 'bilinear';
}

/** Rows and columns so many times as large. */
export class UpSampling2D extends Layer {
  readonly #size: readonly number[];
  readonly #mode: 'nearest' | 'bilinear';

  constructor(options: UpSampling2DOptions = {}) {
    super(options, ['size', 'interpolation']);
    this.#size = sizesOf(this.name, 'size', options.size ?? 2, 2);
    this.#mode = options.interpolation ?? 'nearest';
    if (!['nearest', 'bilinear'].includes(this.#mode)) {
      throw new KerasError(
        'BAD_OPTION',
        `layer '${this.name}': interpolation must be 'nearest' or 'bilinear', not '${this.#mode}'`,
      );
    }
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 4, AXES[2]);
    const sizes = this.#size.map((factor, i) => {
      const size = inputShape[i + 1]!;
      return size === null ? null : size * factor;
    });
    return [inputShape[0]!, ...sizes, inputShape[3]!];
  }

  protected override compute(x: Tensor): Tensor {
    const size = this.#size.map((factor, i) => x.size(i + 1) * factor);
    return channelsLast(nn.functional.interpolate(channelsFirst(x), { size, mode: this.#mode }));
  }
}
