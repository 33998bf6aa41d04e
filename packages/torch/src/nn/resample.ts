import type { Tensor } from '../tensor/tensor.ts';
import { type InterpolateOptions, interpolate, pad, pixelShuffle } from './functional/resample.ts';
import { Layer } from './layer.ts';
import { tuple } from './sizes.ts';

/** Resizes the spatial dimensions, to a size or by a factor. */
export class Upsample extends Layer {
  readonly options: InterpolateOptions;

  constructor(options: InterpolateOptions) {
    super();
    this.options = options;
  }

  override forward(input: Tensor): Tensor {
    return interpolate(input, this.options);
  }

  override extraRepr(): string {
    const { size, scaleFactor, mode = 'nearest' } = this.options;
    const [name, value] = scaleFactor === undefined ? ['size', size] : ['scale_factor', scaleFactor];
    const python = (n: number) => (name === 'scale_factor' ? n.toFixed(1) : String(n));
    const shown = typeof value === 'number' ? python(value) : `(${value?.map(python).join(', ')})`;
    return `${name}=${shown}, mode='${mode}'`;
  }
}

/** Adds zeros: the same on all sides, or [left, right, top, bottom]. */
export class ZeroPad2d extends Layer {
  readonly padding: readonly number[];

  constructor(padding: number | readonly [number, number, number, number]) {
    super();
    this.padding = typeof padding === 'number' ? [padding, padding, padding, padding] : padding;
  }

  override forward(input: Tensor): Tensor {
    return pad(input, this.padding);
  }

  override extraRepr(): string {
    return tuple(this.padding);
  }
}

/** [N, C·r², H, W] → [N, C, H·r, W·r] */
export class PixelShuffle extends Layer {
  readonly upscaleFactor: number;

  constructor(upscaleFactor: number) {
    super();
    this.upscaleFactor = upscaleFactor;
  }

  override forward(input: Tensor): Tensor {
    return pixelShuffle(input, this.upscaleFactor);
  }

  override extraRepr(): string {
    return `upscale_factor=${this.upscaleFactor}`;
  }
}
