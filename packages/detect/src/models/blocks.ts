import { cat, isGradEnabled, nn, scope, type Tensor } from '@mezzo/torch';
import { withoutAutocast } from './precision.ts';

/** YOLO's BatchNorm differs from PyTorch's defaults in both. */
const BATCH_NORM = { eps: 1e-3, momentum: 0.03 };

export interface ConvOptions {
  stride?: number;
  /** Default: kernel / 2 rounded down, which keeps the size at stride 1. */
  padding?: number;
  groups?: number;
  /** SiLU after the normalisation; default true. */
  activation?: boolean;
}

/** Convolution without bias, BatchNorm, SiLU. [B, c1, H, W] -> [B, c2, H / stride, W / stride]. */
export class Conv extends nn.Layer {
  readonly conv: nn.Conv2d;
  readonly bn: nn.BatchNorm2d;
  private readonly activation: boolean;

  constructor(c1: number, c2: number, kernel = 1, options: ConvOptions = {}) {
    super();
    const { stride = 1, padding = Math.floor(kernel / 2), groups = 1, activation = true } = options;
    this.conv = new nn.Conv2d(c1, c2, kernel, { stride, padding, groups, bias: false });
    this.bn = new nn.BatchNorm2d(c2, BATCH_NORM);
    this.activation = activation;
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const normalised = this.bn.forward(this.conv.forward(x));
      if (!this.activation) return normalised;
      // Backward of an in-place SiLU needs a copy of its input: it would cost time and save nothing.
      return nn.functional.silu(normalised, { inplace: !isGradEnabled() });
    });
  }
}

/** Two convolutions with an optional residual: c1 -> hidden -> c2, hidden = c2 · expansion. */
export class Bottleneck extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  private readonly add: boolean;

  constructor(
    c1: number,
    c2: number,
    options: { shortcut?: boolean; kernels?: [number, number]; expansion?: number } = {},
  ) {
    super();
    const { shortcut = true, kernels = [3, 3], expansion = 0.5 } = options;
    const hidden = Math.floor(c2 * expansion);
    this.cv1 = new Conv(c1, hidden, kernels[0]);
    this.cv2 = new Conv(hidden, c2, kernels[1]);
    this.add = shortcut && c1 === c2;
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const y = this.cv2.forward(this.cv1.forward(x));
      return this.add ? x.add(y) : y;
    });
  }
}

/** Cross-stage block of YOLOv8: one half of the channels passes by, the other goes through n bottlenecks, all are joined. */
export class C2f extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly m: nn.ModuleList<Bottleneck>;

  constructor(c1: number, c2: number, repeats = 1, shortcut = false, expansion = 0.5) {
    super();
    const c = Math.floor(c2 * expansion);
    this.cv1 = new Conv(c1, 2 * c);
    this.cv2 = new Conv((2 + repeats) * c, c2);
    this.m = new nn.ModuleList(
      Array.from({ length: repeats }, () => new Bottleneck(c, c, { shortcut, expansion: 1 })),
    );
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const parts = this.cv1.forward(x).chunk(2, 1);
      for (const bottleneck of this.m) parts.push(bottleneck.forward(parts.at(-1)!));
      return this.cv2.forward(cat(parts, 1));
    });
  }
}

/** Spatial pyramid pooling, fast form: three max pools in a row see windows of k, 2k - 1 and 3k - 2 cells. */
export class SPPF extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  private readonly kernel: number;

  constructor(c1: number, c2: number, kernel = 5) {
    super();
    const hidden = Math.floor(c1 / 2);
    this.cv1 = new Conv(c1, hidden);
    this.cv2 = new Conv(4 * hidden, c2);
    this.kernel = kernel;
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const parts = [this.cv1.forward(x)];
      const pool = { stride: 1, padding: Math.floor(this.kernel / 2) };
      for (let i = 0; i < 3; i++) parts.push(nn.functional.maxPool2d(parts.at(-1)!, this.kernel, pool));
      return this.cv2.forward(cat(parts, 1));
    });
  }
}

/** Nearest-neighbour upsampling by a whole factor. */
export class Upsample extends nn.Layer {
  private readonly factor: number;

  constructor(factor: number) {
    super();
    this.factor = factor;
  }

  /**
   * Newer autocast lists put upsampling in fp32; the concatenation behind it would then promote the whole
   * neck. Copying pixels needs no precision, so it stays in the dtype that comes in.
   */
  override forward(x: Tensor): Tensor {
    return withoutAutocast(x.device, () =>
      nn.functional.interpolate(x, { scaleFactor: this.factor, mode: 'nearest' }),
    );
  }
}

/** Joins its inputs along the channels. */
export class Concat extends nn.Module {
  override forward(inputs: readonly Tensor[]): Tensor {
    return cat(inputs, 1);
  }
}
