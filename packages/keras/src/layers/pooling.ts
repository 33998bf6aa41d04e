import { nn, type Tensor } from '@mezzo/torch';
import { requireRank, type Shape } from '../graph/shape.ts';
import { AXES } from './conv.ts';
import { Layer, type LayerOptions } from './layer.ts';
import {
  applySame,
  channelsFirst,
  channelsLast,
  type Padding,
  requirePadding,
  type Sizes,
  sizesOf,
  slidOver,
  type Window,
} from './window.ts';

export interface PoolingOptions extends LayerOptions {
  /** Default 2. */
  poolSize?: Sizes;
  /** Default: the pool's size. */
  strides?: Sizes | null;
  padding?: Padding;
}

type Pool = (x: Tensor, window: Window) => Tensor;

/** A window over each channel; x [N, …, C]. */
abstract class Pooling extends Layer {
  protected override readonly keepsIntegers = true;
  readonly #window: Window;
  readonly #rank: 1 | 2;
  readonly #pool: Pool;

  constructor(rank: 1 | 2, pool: Pool, options: PoolingOptions) {
    super(options, ['poolSize', 'strides', 'padding']);
    const { poolSize = 2, padding = 'valid' } = options;
    requirePadding(this.name, padding);
    const size = sizesOf(this.name, 'poolSize', poolSize, rank);
    this.#window = {
      size,
      strides: sizesOf(this.name, 'strides', options.strides ?? size, rank),
      dilation: size.map(() => 1),
      padding,
    };
    this.#rank = rank;
    this.#pool = pool;
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, this.#rank + 2, AXES[this.#rank]);
    return [inputShape[0]!, ...slidOver(inputShape.slice(1, -1), this.#window), inputShape.at(-1)!];
  }

  protected override compute(x: Tensor): Tensor {
    return channelsLast(this.#pool(channelsFirst(x), this.#window));
  }
}

const { maxPool1d, maxPool2d, avgPool1d, avgPool2d } = nn.functional;

const maximum =
  (pool: typeof maxPool2d): Pool =>
  (x, window) => {
    const [padded, padding] = applySame(x, window, 'replicate');
    return pool(padded, window.size, { stride: window.strides, padding });
  };

const average =
  (pool: typeof avgPool2d): Pool =>
  (x, window) => {
    const [padded, padding] = applySame(x, window, 'replicate');
    return pool(padded, window.size, { stride: window.strides, padding, countIncludePad: false });
  };

export class MaxPooling1D extends Pooling {
  constructor(options: PoolingOptions = {}) {
    super(1, maximum(maxPool1d), options);
  }
}

export class MaxPooling2D extends Pooling {
  constructor(options: PoolingOptions = {}) {
    super(2, maximum(maxPool2d), options);
  }
}

export class AveragePooling1D extends Pooling {
  constructor(options: PoolingOptions = {}) {
    super(1, average(avgPool1d), options);
  }
}

export class AveragePooling2D extends Pooling {
  constructor(options: PoolingOptions = {}) {
    super(2, average(avgPool2d), options);
  }
}

export interface GlobalPoolingOptions extends LayerOptions {
  /** Leave the spatial axes with size 1. */
  keepdims?: boolean;
}

/** Each channel as one number: x [N, …, C] → [N, C]. */
abstract class GlobalPooling extends Layer {
  protected readonly axes: readonly number[];
  protected readonly keepdims: boolean;

  constructor(rank: 1 | 2, options: GlobalPoolingOptions) {
    super(options, ['keepdims']);
    this.axes = rank === 1 ? [1] : [1, 2];
    this.keepdims = options.keepdims ?? false;
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, this.axes.length + 2, AXES[this.axes.length as 1 | 2]);
    const kept = this.keepdims ? this.axes.map(() => 1) : [];
    return [inputShape[0]!, ...kept, inputShape.at(-1)!];
  }
}

abstract class GlobalAverage extends GlobalPooling {
  protected override compute(x: Tensor): Tensor {
    return x.mean(this.axes, this.keepdims);
  }
}

abstract class GlobalMax extends GlobalPooling {
  protected override compute(x: Tensor): Tensor {
    return x.amax(this.axes, this.keepdims);
  }
}

export class GlobalAveragePooling1D extends GlobalAverage {
  constructor(options: GlobalPoolingOptions = {}) {
    super(1, options);
  }
}

export class GlobalAveragePooling2D extends GlobalAverage {
  constructor(options: GlobalPoolingOptions = {}) {
    super(2, options);
  }
}

export class GlobalMaxPooling1D extends GlobalMax {
  constructor(options: GlobalPoolingOptions = {}) {
    super(1, options);
  }
}

export class GlobalMaxPooling2D extends GlobalMax {
  constructor(options: GlobalPoolingOptions = {}) {
    super(2, options);
  }
}
