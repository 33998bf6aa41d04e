import { noGrad, scope, type Tensor } from '@mezzo/torch';
import { channelsFit } from '../data/channels.ts';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/**
 * The images of a tensor [C, H, W] or [B, C, H, W], uint8 or floating point in 0 … 1, for a network of so many channels:
 * C is 3 (RGB) or 1 (grey) for networks of these, else that of the network.
 * @throws SourceError BAD_IMAGE for any other shape
 */
export function tensorImages(images: Tensor, wanted: number): RawImage[] {
  const shape = images.shape;
  const [channels = 0, height = 0, width = 0] = shape.slice(-3);
  if ((shape.length !== 3 && shape.length !== 4) || !channelsFit(wanted, channels)) {
    throw new SourceError('BAD_IMAGE', `a tensor of shape [${shape}] is no image`, {
      hint: `give [${wanted}, H, W] or [B, ${wanted}, H, W]: uint8, or floating point from 0 to 1`,
    });
  }
  return scope(() =>
    noGrad(() => {
      const levels = images.isFloatingPoint() ? images.mul(255).round().clamp(0, 255).to('uint8') : images;
      const shown = channels === 1 ? 3 : channels;
      const batch = levels
        .view([-1, channels, height, width])
        .expand([-1, shown, -1, -1])
        .permute([0, 2, 3, 1]);
      const bytes = batch.toTypedArray() as Uint8Array;
      const size = shown * height * width;
      return Array.from({ length: bytes.length / size }, (_, i) => ({
        data: bytes.slice(i * size, (i + 1) * size),
        width,
        height,
        channels: shown,
      }));
    }),
  );
}
