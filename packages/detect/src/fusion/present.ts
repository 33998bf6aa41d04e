import { nn, noGrad, ops, scope, type Tensor } from '@mezzo/torch';

/** Pixels from one that is looked at to the next, across and down: all of them would take longer than a convolution. */
export const PRESENT_GRID = 8;

/**
 * A map of one modality, and zeros for images where no pixel of that modality is above 0: a sensor that is missing says
 * nothing, and learns nothing. Without it BatchNorm after BatchNorm over a stream without any variance multiplies gradients
 * by up to 30 each, and a batch of such images ends beyond fp32. Map [B, c, h, w] and pixels [B, k, H, W] -> the map.
 */
export class Present extends nn.Module {
  override forward([map, pixels]: readonly [Tensor, Tensor]): Tensor {
    return scope(() => {
      const there = noGrad(() => onGrid(pixels).amax([1, 2, 3], true).gt(0).to(map.dtype));
      return map.mul(there);
    });
  }
}

const onGrid = (pixels: Tensor): Tensor =>
  [2, 3].reduce((rows, dim) => ops.slice(rows, dim, null, null, PRESENT_GRID), pixels);
