import { cat, nn, scope, type Tensor } from '@mezzo/torch';
import { Bottleneck, Conv } from './blocks.ts';

/** Makes one of the blocks that the second half of the channels passes through. */
type InnerBlock = (channels: number) => nn.Layer;

/** Cross-stage block of YOLOv8: one half of the channels passes by, the other goes through n bottlenecks, all are joined. */
export class C2f extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly m: nn.ModuleList<nn.Layer>;

  constructor(
    c1: number,
    c2: number,
    repeats = 1,
    shortcut = false,
    expansion = 0.5,
    inner: InnerBlock = (c) => new Bottleneck(c, c, { shortcut, expansion: 1 }),
  ) {
    super();
    const c = Math.floor(c2 * expansion);
    this.cv1 = new Conv(c1, 2 * c);
    this.cv2 = new Conv((2 + repeats) * c, c2);
    this.m = new nn.ModuleList(Array.from({ length: repeats }, () => inner(c)));
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const parts = this.cv1.forward(x).chunk(2, 1);
      for (const block of this.m) parts.push(block.forward(parts.at(-1)!));
      return this.cv2.forward(cat(parts, 1));
    });
  }
}

export interface C3Options {
  shortcut?: boolean;
  /** Of the two convolutions of each bottleneck; default 1 and 3. */
  kernels?: [number, number];
}

/** Cross-stage block of YOLOv5: one convolution leads through n bottlenecks, one passes by, both are joined. */
export class C3 extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly cv3: Conv;
  readonly m: nn.Sequential;

  constructor(c1: number, c2: number, repeats = 1, options: C3Options = {}) {
    super();
    const { shortcut = true, kernels = [1, 3] } = options;
    const hidden = Math.floor(c2 / 2);
    this.cv1 = new Conv(c1, hidden);
    this.cv2 = new Conv(c1, hidden);
    this.cv3 = new Conv(2 * hidden, c2);
    this.m = new nn.Sequential(
      ...Array.from(
        { length: repeats },
        () => new Bottleneck(hidden, hidden, { shortcut, kernels, expansion: 1 }),
      ),
    );
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const deep = this.m.forward(this.cv1.forward(x));
      return this.cv3.forward(cat([deep, this.cv2.forward(x)], 1));
    });
  }
}

export interface C3k2Options {
  /** The inner blocks are C3 of two bottlenecks with 3 x 3 kernels, instead of single bottlenecks. */
  c3k?: boolean;
  expansion?: number;
  shortcut?: boolean;
}

/** Cross-stage block of YOLO11: C2f with bottlenecks of half width, or with C3 blocks, inside. */
export class C3k2 extends C2f {
  constructor(c1: number, c2: number, repeats = 1, options: C3k2Options = {}) {
    const { c3k = false, expansion = 0.5, shortcut = true } = options;
    super(c1, c2, repeats, shortcut, expansion, (c) =>
      c3k ? new C3(c, c, 2, { shortcut, kernels: [3, 3] }) : new Bottleneck(c, c, { shortcut }),
    );
  }
}
