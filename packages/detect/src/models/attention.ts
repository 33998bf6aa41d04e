import { cat, nn, scope, type Tensor } from '@mezzo/torch';
import { Conv } from './blocks.ts';
import { withoutAutocast } from './precision.ts';

/** Channels of one attention head. */
const HEAD_CHANNELS = 64;

const headsOf = (channels: number): number => Math.max(1, Math.floor(channels / HEAD_CHANNELS));

/**
 * Self-attention over the cells of a map, with keys half as wide as values and a depthwise convolution of the values
 * as positional encoding. [B, c, H, W] -> the same. The softmax is fp32 on every device.
 */
export class Attention extends nn.Layer {
  readonly qkv: Conv;
  readonly proj: Conv;
  readonly pe: Conv;
  readonly heads: number;
  readonly keyWidth: number;
  readonly valueWidth: number;

  constructor(channels: number) {
    super();
    this.heads = headsOf(channels);
    this.valueWidth = Math.floor(channels / this.heads);
    this.keyWidth = Math.floor(this.valueWidth / 2);
    this.qkv = new Conv(channels, channels + 2 * this.keyWidth * this.heads, 1, { activation: false });
    this.proj = new Conv(channels, channels, 1, { activation: false });
    this.pe = new Conv(channels, channels, 3, { groups: channels, activation: false });
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const { heads, keyWidth, valueWidth } = this;
      const [batch, channels, height, width] = x.shape as [number, number, number, number];
      const cells = height * width;
      const mixed = this.qkv.forward(x).reshape([batch, heads, 2 * keyWidth + valueWidth, cells]);
      const [query, key, value] = mixed.split([keyWidth, keyWidth, valueWidth], 2) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      // Scaled before the product, which could overflow in fp16.
      const scaled = query.mul(keyWidth ** -0.5).transpose(-2, -1);
      const scores = scaled.matmul(key); // [B, heads, cells, cells]
      const shares = withoutAutocast(x.device, () => scores.float().softmax(-1));
      const attended = value.matmul(shares.to(value.dtype).transpose(-2, -1));
      const place = this.pe.forward(value.reshape([batch, channels, height, width]));
      return this.proj.forward(attended.reshape([batch, channels, height, width]).add(place));
    });
  }
}

/** Attention and a two-layer network over the channels, each added to what comes in. */
export class PSABlock extends nn.Layer {
  readonly attn: Attention;
  readonly ffn: nn.Sequential;

  constructor(channels: number) {
    super();
    this.attn = new Attention(channels);
    this.ffn = new nn.Sequential(
      new Conv(channels, 2 * channels),
      new Conv(2 * channels, channels, 1, { activation: false }),
    );
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const attended = x.add(this.attn.forward(x));
      return attended.add(this.ffn.forward(attended));
    });
  }
}

/** Cross-stage attention of YOLO11: half of the channels goes through n attention blocks. Keeps channels and size. */
export class C2PSA extends nn.Layer {
  readonly cv1: Conv;
  readonly cv2: Conv;
  readonly m: nn.Sequential;

  /** Whether the half that goes through attention splits into equal heads. */
  static divides(channels: number, expansion = 0.5): boolean {
    const hidden = Math.floor(channels * expansion);
    return hidden % headsOf(hidden) === 0;
  }

  constructor(channels: number, repeats = 1, expansion = 0.5) {
    super();
    const hidden = Math.floor(channels * expansion);
    this.cv1 = new Conv(channels, 2 * hidden);
    this.cv2 = new Conv(2 * hidden, channels);
    this.m = new nn.Sequential(...Array.from({ length: repeats }, () => new PSABlock(hidden)));
  }

  override forward(x: Tensor): Tensor {
    return scope(() => {
      const [by, through] = this.cv1.forward(x).chunk(2, 1) as [Tensor, Tensor];
      return this.cv2.forward(cat([by, this.m.forward(through)], 1));
    });
  }
}
