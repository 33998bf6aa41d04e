import { cat, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { fits, type Shape, shapeText } from '../graph/shape.ts';
import { Layer, type LayerOptions } from './layer.ts';

type Combine = (inputs: readonly Tensor[]) => Tensor;

/** Several tensors into one. */
abstract class Merge extends Layer<readonly Tensor[]> {
  override get takesList(): boolean {
    return true;
  }

  protected refuse(expected: string, shapes: readonly Shape[]): never {
    throw new KerasError(
      'SHAPE_MISMATCH',
      `layer '${this.name}': expected ${expected}, but the inputs have shapes ${shapes.map(shapeText).join(', ')}`,
    );
  }
}

/** Element by element, with broadcast. */
abstract class Elementwise extends Merge {
  protected abstract readonly combine: Combine;

  override computeOutputShape(shapes: readonly Shape[]): Shape {
    if (shapes.length < 2) this.refuse('at least 2 inputs', shapes);
    return shapes.reduce((a, b) => this.broadcast(a, b, shapes));
  }

  private broadcast(a: Shape, b: Shape, shapes: readonly Shape[]): Shape {
    const [long, short] = a.length >= b.length ? [a, b] : [b, a];
    const offset = long.length - short.length;
    return long.map((size, i) => {
      const other = i < offset ? 1 : short[i - offset]!;
      if (size === other || other === 1) return size;
      if (size === 1) return other;
      if (size === null || other === null) return size ?? other;
      return this.refuse('inputs of the same shape', shapes);
    });
  }

  protected override compute(inputs: readonly Tensor[]): Tensor {
    return this.combine(inputs);
  }
}

const chain =
  (join: (a: Tensor, b: Tensor) => Tensor): Combine =>
  (inputs) =>
    inputs.reduce(join);

export class Add extends Elementwise {
  protected override readonly combine = chain((a, b) => a.add(b));
}

export class Multiply extends Elementwise {
  protected override readonly combine = chain((a, b) => a.mul(b));
}

export class Average extends Elementwise {
  protected override readonly combine: Combine = (inputs) =>
    inputs.reduce((a, b) => a.add(b)).div(inputs.length);
}

export class Maximum extends Elementwise {
  protected override readonly combine = chain((a, b) => a.maximum(b));
}

export class Minimum extends Elementwise {
  protected override readonly combine = chain((a, b) => a.minimum(b));
}

/** The first of two inputs minus the second. */
export class Subtract extends Elementwise {
  protected override readonly combine = chain((a, b) => a.sub(b));

  override computeOutputShape(shapes: readonly Shape[]): Shape {
    if (shapes.length !== 2) this.refuse('exactly 2 inputs', shapes);
    return super.computeOutputShape(shapes);
  }
}

/** Side by side along an axis, the last one by default. */
export class Concatenate extends Merge {
  readonly #axis: number;

  constructor(options: LayerOptions & { axis?: number } = {}) {
    super(options, ['axis']);
    this.#axis = options.axis ?? -1;
  }

  override computeOutputShape(shapes: readonly Shape[]): Shape {
    const [first] = shapes;
    if (first === undefined || shapes.length < 2) this.refuse('at least 2 inputs', shapes);
    const axis = this.#axis < 0 ? first.length + this.#axis : this.#axis;
    const open = (shape: Shape) => shape.map((size, i) => (i === axis ? null : size));
    if (!shapes.every((shape) => fits(open(first), open(shape)))) {
      this.refuse(`inputs of the same shape but for axis ${this.#axis}`, shapes);
    }
    const sizes = shapes.map((shape) => shape[axis]!);
    const sum = sizes.some((size) => size === null) ? null : sizes.reduce<number>((a, b) => a + b!, 0);
    return first.map((size, i) => (i === axis ? sum : size));
  }

  protected override compute(inputs: readonly Tensor[]): Tensor {
    return cat(inputs, this.#axis);
  }
}
