/** Training at several sizes: a whole batch is scaled, on the device, to a size of its own. */
import type { Size } from './geometry.ts';
import { CounterRandom } from './random.ts';

export interface MultiScale {
  /** The long side is drawn from imgsz · (1 ± fraction), a multiple of the stride; 0: always imgsz. */
  fraction: number;
  imgsz: number;
  stride: number;
  seed: number;
}

/** The size in which the network sees batch `index` of an epoch, whose pictures are of size `pictures`. */
export function scaledSize(pictures: Size, options: MultiScale, epoch: number, index: number): Size {
  const { fraction, imgsz, stride, seed } = options;
  if (fraction === 0) return pictures;
  const lowest = Math.max(Math.trunc(imgsz * (1 - fraction)), stride);
  const end = Math.trunc(imgsz * (1 + fraction) + stride);
  const random = new CounterRandom(seed, 'scale', epoch, index);
  const side = Math.floor((lowest + random.integer(end - lowest)) / stride) * stride;
  const gain = side / Math.max(pictures.width, pictures.height);
  if (gain === 1) return pictures;
  const scaled = (length: number) => Math.ceil((length * gain) / stride) * stride;
  return { width: scaled(pictures.width), height: scaled(pictures.height) };
}
