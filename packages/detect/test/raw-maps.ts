import { cat, type Tensor } from '@mezzo/torch';
import type { HeadMaps } from '../src/models/decode.ts';

/** The reference's form of the maps: box and class logits of a level in one [B, 64 + C, h, w]. */
export function rawMaps(maps: HeadMaps): Tensor[] {
  return maps.box.map((box, level) => cat([box, maps.cls[level]!], 1));
}
