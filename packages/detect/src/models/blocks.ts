import { cat, isGradEnabled, nn, noGrad, scope, type Tensor } from '@mezzo/torch';
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
  /** Identity once it is folded. */
  bn: nn.BatchNorm2d | nn.SyncBatchNorm | nn.Identity;
  readonly activation: boolean;

  constructor(c1: number, c2: number, kernel = 1, options: ConvOptions = {}) {
    super();
    const { stride = 1, padding = Math.floor(kernel / 2), groups = 1, activation = true } = options;
    this.conv = new nn.Conv2d(c1, c2, kernel, { stride, padding, groups, bias: false });
    this.bn = new nn.BatchNorm2d(c2, BATCH_NORM);
    this.activation = activation;
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const convolved = this.conv.forward(x);
      const { bn } = this;
      if (!this.activation) return bn.forward(convolved);
      if (isGradEnabled() && !(bn instanceof nn.Identity)) return bn.forwardSilu(convolved);
      // Backward of an in-place SiLU needs a copy of its input: it would cost time and save nothing.
      return nn.functional.silu(bn.forward(convolved), { inplace: !isGradEnabled() });
    });
  }

  get isFolded(): boolean {
    return this.bn instanceof nn.Identity;
  }

  /** Weight and bias of the one convolution that this is in evaluation mode; computed in fp64. */
  folded(): { weight: Tensor; bias: Tensor } {
    const { conv, bn } = this;
    if (bn instanceof nn.Identity) return { weight: conv.weight, bias: conv.bias! };
    return scope(() =>
      noGrad(() => {
        const { dtype } = conv.weight;
        const scale = bn.weight!.double().div(bn.runningVar!.double().add(bn.eps).sqrt());
        const bias = bn.bias!.double().sub(bn.runningMean!.double().mul(scale)).to(dtype);
        return {
          weight: conv.weight
            .double()
            .mul(scale.view([-1, 1, 1, 1]))
            .to(dtype),
          bias,
        };
      }),
    );
  }

  /** Becomes that one convolution. For inference only. */
  fold(): void {
    scope(() => {
      const { weight, bias } = this.folded();
      noGrad(() => this.conv.weight.copy_(weight));
      this.conv.bias = new nn.Parameter(bias, false);
    });
    this.bn = new nn.Identity();
  }
}

/** Two convolutions with an optional residual: c1 -> hidden -> c2, hidden = c2 · expansion. */
export class Bottleneck extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly add: boolean;

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

/** Spatial pyramid pooling, fast form: three max pools in a row see windows of k, 2k - 1 and 3k - 2 cells. */
export class SPPF extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly kernel: number;

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
  readonly factor: number;

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
