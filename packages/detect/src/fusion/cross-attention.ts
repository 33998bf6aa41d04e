import { nn, scope, type Tensor } from '@mezzo/torch';
import { Conv } from '../models/blocks.ts';
import { withoutAutocast } from '../models/precision.ts';

/** Channels of one attention head. */
const HEAD_CHANNELS = 32;

// Shapes: B batch, c channels, h heads, d = c / h, N = H·W pixels.

/**
 * One modality attends to another and adds what it finds: [B, c, H, W] and [B, c2, H, W] -> [B, c, H, W]. Attention in its
 * linear form (Shen et al., "Efficient Attention", 2021): keys are shares over the pixels, queries shares over the channels,
 * so the other map is first summed up in d x d numbers a head, and memory grows with the pixels, not with their square.
 * A depthwise convolution of the values carries what lies at the same place, a pixel more or less.
 */
export class CrossAttention extends nn.Module {
  readonly query: Conv;
  readonly keyValue: Conv;
  readonly near: Conv;
  readonly proj: Conv;
  readonly heads: number;

  /** @param channels of the map that attends; @param other of the map that is attended to */
  constructor(channels: number, other: number) {
    super();
    this.heads = headsOf(channels);
    this.query = new Conv(channels, channels, 1, { activation: false });
    this.keyValue = new Conv(other, 2 * channels, 1, { activation: false });
    this.near = new Conv(channels, channels, 3, { groups: channels, activation: false });
    this.proj = new Conv(channels, channels, 1, { activation: false });
  }

  override forward([own, other]: readonly [Tensor, Tensor]): Tensor {
    return scope(() => {
      const [batch, channels, height, width] = own.shape as [number, number, number, number];
      const byHead = [batch, this.heads, channels / this.heads, height * width];
      const query = this.query.forward(own).reshape(byHead);
      const [key, value] = this.keyValue.forward(other).chunk(2, 1) as [Tensor, Tensor];
      const found = withoutAutocast(own.device, () => {
        const context = summary(key.reshape(byHead), value.reshape(byHead)).to(query.dtype);
        return context.matmul(query.softmax(2)); // [B, h, d, N]
      });
      const near = this.near.forward(value);
      return own.add(this.proj.forward(found.reshape(own.shape).add(near)));
    });
  }
}

/**
 * The other map in d x d numbers a head: values [B, h, d, N] averaged by the shares of each key. fp32: a share of 10,816
 * pixels (832 px at stride 8) is about 1e-4, of 25,600 (1280 px) below fp16's smallest normal number.
 */
function summary(key: Tensor, value: Tensor): Tensor {
  const shares = key.float().softmax(3);
  return value.float().matmul(shares.transpose(-2, -1));
}

/** As many heads of 32 channels as fit, fewer where they would not divide the channels. */
function headsOf(channels: number): number {
  let heads = Math.max(1, Math.floor(channels / HEAD_CHANNELS));
  while (channels % heads !== 0) heads -= 1;
  return heads;
}
