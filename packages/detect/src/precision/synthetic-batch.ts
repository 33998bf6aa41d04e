import { type Tensor, tensor } from '@mezzo/torch';
import { CounterRandom } from '../augment/random.ts';
import { TARGET_COLUMNS } from '../data/targets.ts';
import type { CheckBatch } from './preflight.ts';

const BOXES = 4;
const SMALLEST = 0.1;
const LARGEST = 0.5;
/** Grain, in grey levels to both sides. */
const GRAIN = 8;

/**
 * Pictures of plain rectangles on a shaded ground with grain, and their boxes: enough structure that features differ
 * from place to place, as those of photographs do. Any number of channels; the same arguments give the same batch.
 */
export function syntheticBatch(batch: number, channels: number, imgsz: number, classes: number): CheckBatch {
  const plane = imgsz * imgsz;
  const pixels = new Uint8Array(batch * channels * plane);
  const rows: number[] = [];
  for (let picture = 0; picture < batch; picture++) {
    const random = new CounterRandom(0, 'shapes', 0, picture);
    const own = pixels.subarray(picture * channels * plane, (picture + 1) * channels * plane);
    paintGround(own, channels, imgsz, random);
    for (let box = 0; box < BOXES; box++) {
      const [width, height] = [random.between(SMALLEST, LARGEST), random.between(SMALLEST, LARGEST)];
      const x = random.between(width / 2, 1 - width / 2);
      const y = random.between(height / 2, 1 - height / 2);
      rows.push(picture, (picture + box) % classes, x, y, width, height);
      paintBox(own, channels, imgsz, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], random);
    }
    addGrain(own, random);
  }
  return {
    images: channelsLastImages(pixels, batch, channels, imgsz),
    rows: Float32Array.from(rows),
    synthetic: true,
  };
}

function paintGround(pixels: Uint8Array, channels: number, imgsz: number, random: CounterRandom): void {
  for (let channel = 0; channel < channels; channel++) {
    const level = random.between(50, 200);
    const [slopeX, slopeY] = [random.between(-30, 30) / imgsz, random.between(-30, 30) / imgsz];
    let at = channel * imgsz * imgsz;
    for (let y = 0; y < imgsz; y++) {
      for (let x = 0; x < imgsz; x++) pixels[at++] = level + slopeX * x + slopeY * y;
    }
  }
}

function paintBox(
  pixels: Uint8Array,
  channels: number,
  imgsz: number,
  corners: readonly number[],
  random: CounterRandom,
): void {
  const [x1, y1, x2, y2] = corners.map((side) => Math.round(side * imgsz)) as [
    number,
    number,
    number,
    number,
  ];
  for (let channel = 0; channel < channels; channel++) {
    const level = random.between(GRAIN, 255 - GRAIN);
    for (let y = y1; y < y2; y++) {
      const row = (channel * imgsz + y) * imgsz;
      pixels.fill(level, row + x1, row + x2);
    }
  }
}

/** Grain from xorshift32 (Marsaglia, 2003), because a counter-based draw for every number would take seconds. */
function addGrain(pixels: Uint8Array, random: CounterRandom): void {
  let state = random.uint32() | 1;
  for (let i = 0; i < pixels.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pixels[i] = Math.min(Math.max(pixels[i]! + ((state >>> 8) & 15) - GRAIN, 0), 255);
  }
}

/** Planes as a tensor, in the memory order that a loader's batches have. */
const channelsLastImages = (pixels: Uint8Array, batch: number, channels: number, imgsz: number): Tensor =>
  tensor(pixels, { shape: [batch, channels, imgsz, imgsz] }).contiguous({ memoryFormat: 'channels_last' });

/** The rows of the first `count` pictures. */
export function rowsOf(rows: Float32Array, count: number): Float32Array {
  const kept: number[] = [];
  for (let at = 0; at < rows.length; at += TARGET_COLUMNS) {
    if (rows[at]! < count) kept.push(...rows.subarray(at, at + TARGET_COLUMNS));
  }
  return Float32Array.from(kept);
}
