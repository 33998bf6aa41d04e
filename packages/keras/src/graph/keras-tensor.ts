import type { DType } from '@mezzo/torch';
import type { AnyLayer } from '../layers/layer.ts';
import { type Shape, shapeText } from './shape.ts';

/** How a symbolic tensor comes about. */
export interface Origin {
  readonly layer: AnyLayer;
  readonly inputs: readonly KerasTensor[];
}

/** A tensor without values: what layers are called on to describe a functional model. */
export class KerasTensor {
  readonly shape: Shape;
  readonly dtype: DType;
  /** null for an input of a model. */
  readonly origin: Origin | null;
  readonly name: string;

  constructor(shape: Shape, dtype: DType, name: string, origin: Origin | null) {
    this.shape = shape;
    this.dtype = dtype;
    this.name = name;
    this.origin = origin;
  }

  toString(): string {
    return `<KerasTensor shape=${shapeText(this.shape)}, dtype=${this.dtype}, name=${this.name}>`;
  }
}
