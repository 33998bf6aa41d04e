import type { Tensor } from '@mezzo/torch';
import { Layer, type LayerOptions } from './layer.ts';

/** x · scale + offset, for example pixels of 0 to 255 to 0 to 1. */
export class Rescaling extends Layer {
  readonly scale: number;
  readonly offset: number;

  constructor(scale: number, options: LayerOptions & { offset?: number } = {}) {
    super(options, ['offset']);
    this.scale = scale;
    this.offset = options.offset ?? 0;
  }

  protected override compute(x: Tensor): Tensor {
    return x.mul(this.scale).add(this.offset);
  }
}
