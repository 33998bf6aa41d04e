import { noGrad, scope, type Tensor } from '@mezzo/torch';
import type { DeviceName } from '../engine/device.ts';
import { toInput } from '../engine/images.ts';
import { FUSED } from '../fusion/modalities.ts';
import { streamOf } from '../fusion/streams.ts';
import type { DetectionModel } from '../models/build.ts';

/** What the pixels of one sensor are like in a batch. */
export interface PixelRange {
  readonly modality: string;
  readonly channels: number;
  /** Levels of 0 … 255. */
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly deviation: number;
  /** Part of the images in which the sensor is missing: all zeros. */
  readonly missing: number;
}

/** The largest magnitude that the layers of one stream put out in float32, and where. */
export interface StreamRange {
  readonly stream: string;
  readonly largest: number;
  readonly layer: string;
}

export interface ModalityRanges {
  readonly pixels: readonly PixelRange[];
  readonly streams: readonly StreamRange[];
}

/**
 * Ranges of each sensor's pixels and of each stream's features in a batch; null for a network of one stream. The model
 * is in the mode of training; HOST SYNC: a few numbers a layer.
 * @param images uint8 [B, C, H, W]
 */
export function modalityRanges(
  model: DetectionModel,
  images: Tensor,
  device: DeviceName,
): ModalityRanges | null {
  const { modalities } = model.description.table;
  if (modalities === undefined) return null;
  return noGrad(() =>
    scope(() => {
      let first = 0;
      const pixels = Object.entries(modalities).map(([modality, channels]) => {
        const part = images.narrow(1, first, channels).float();
        first += channels;
        return { modality, channels, ...pixelRange(part) };
      });
      const largest = new Map(
        [...Object.keys(modalities), FUSED].map((stream) => [stream, { at: '', value: 0 }]),
      );
      const input = toInput(images, device, { dtype: 'float32', channelsLast: false });
      model.maps(input, ({ index }, output) => {
        const layer = `model.${index}`;
        const known = largest.get(streamOf(model.description, layer)!)!;
        const value = scope(() => Number(output.abs().amax().item()));
        if (value > known.value) Object.assign(known, { at: layer, value });
      });
      const streams = Array.from(largest, ([stream, { at, value }]) => ({
        stream,
        largest: value,
        layer: at,
      }));
      return { pixels, streams: streams.filter(({ layer }) => layer !== '') };
    }),
  );
}

function pixelRange(part: Tensor): Omit<PixelRange, 'modality' | 'channels'> {
  const number = (value: Tensor) => Number(value.item());
  const mean = number(part.mean());
  return {
    min: number(part.amin()),
    max: number(part.amax()),
    mean,
    deviation: Math.sqrt(number(part.sub(mean).square().mean())),
    missing: number(part.flatten(1).amax(1).eq(0).float().mean()),
  };
}
