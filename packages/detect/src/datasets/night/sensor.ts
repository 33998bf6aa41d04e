/** What two cameras make of a scene: 8-bit pictures with glare, noise and a small error of registration. */
import { CounterRandom } from '../../augment/random.ts';
import type { Canvas } from './canvas.ts';
import { glareAt, type Halo, SmoothField } from './light.ts';
import type { NightPreset } from './presets.ts';

/** Light that the visible camera renders as half of its scale. */
const HALF_LIGHT = 0.3;
const NOISE_SIZE = 1 << 16;

let noiseTable: Float32Array | null = null;

/** Numbers of variance 1, each the sum of four uniform ones. */
function noise(): Float32Array {
  if (noiseTable) return noiseTable;
  const random = new CounterRandom(0, 'night', 0xffffffff, 0xffffffff);
  const scale = Math.sqrt(3);
  noiseTable = Float32Array.from({ length: NOISE_SIZE }, () => {
    const sum = random.uniform() + random.uniform() + random.uniform() + random.uniform();
    return (sum - 2) * scale;
  });
  return noiseTable;
}

/** The visible picture: RGB, interleaved. */
export function visiblePicture(
  canvas: Canvas,
  halos: readonly Halo[],
  preset: NightPreset,
  random: CounterRandom,
): Uint8Array {
  const { side } = canvas;
  const grain = noise();
  const sigma = random.between(...preset.visibleNoise);
  const half = HALF_LIGHT * random.between(0.8, 1.25);
  const glare = SmoothField.coloured((at) => glareAt(halos, at));
  const planes = [canvas.red, canvas.green, canvas.blue];
  const row = new Float32Array(side);
  const pixels = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let channel = 0; channel < 3; channel++) {
      glare[channel]!.fillRow(y, canvas.columns, row);
      const plane = planes[channel]!;
      const from = random.integer(NOISE_SIZE);
      for (let x = 0; x < side; x++) {
        const light = plane[y * side + x]! + row[x]!;
        const level = (255 * light) / (light + half) + sigma * grain[(from + x) & (NOISE_SIZE - 1)]!;
        pixels[(y * side + x) * 3 + channel] = level < 0 ? 0 : level > 255 ? 255 : level + 0.5;
      }
    }
  }
  return pixels;
}

/** The infrared picture: one channel, softer, seen from a little beside. */
export function infraredPicture(canvas: Canvas, preset: NightPreset, random: CounterRandom): Uint8Array {
  const { side } = canvas;
  const grain = noise();
  const sigma = random.between(...preset.infraredNoise);
  const street = 255 * random.between(0.27, 0.38);
  const gain = 255 * random.between(0.9, 1.1);
  const heat = soften(canvas);
  const stripes = Float32Array.from({ length: side }, () => random.between(-0.5, 0.5) * sigma);
  const shift = () => random.between(-preset.shift, preset.shift) * side;
  const [dx, dy] = [shift(), shift()];
  const turn = random.between(-preset.turn, preset.turn);
  const zoom = 1 + random.between(-preset.zoom, preset.zoom);
  const middle = side / 2;
  const last = side - 1;
  const pixels = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) {
    const from = random.integer(NOISE_SIZE);
    // A small turn: its sine is the angle, its cosine 1.
    const u0 = middle + dx - zoom * (middle + turn * (y - middle));
    const v0 = middle + dy + zoom * (y - middle - turn * middle);
    for (let x = 0; x < side; x++) {
      const u = Math.min(last, Math.max(0, u0 + zoom * x));
      const v = Math.min(last, Math.max(0, v0 + zoom * turn * x));
      const left = Math.min(last - 1, Math.floor(u));
      const top = Math.min(last - 1, Math.floor(v));
      const fx = u - left;
      const at = top * side + left;
      const above = heat[at]! + (heat[at + 1]! - heat[at]!) * fx;
      const below = heat[at + side]! + (heat[at + side + 1]! - heat[at + side]!) * fx;
      const warm = above + (below - above) * (v - top);
      const level = street + gain * warm + stripes[x]! + sigma * grain[(from + x) & (NOISE_SIZE - 1)]!;
      pixels[y * side + x] = level < 0 ? 0 : level > 255 ? 255 : level + 0.5;
    }
  }
  return pixels;
}

/** Binomial blur of the heat over 3 x 3 pixels, in the canvas's spare planes; the edge repeats. */
function soften({ side, heat, spare, soft }: Canvas): Float32Array {
  const last = side - 1;
  for (let y = 0; y < side; y++) {
    const row = y * side;
    for (let x = 0; x < side; x++) {
      const left = heat[row + (x > 0 ? x - 1 : 0)]!;
      const right = heat[row + (x < last ? x + 1 : last)]!;
      spare[row + x] = 0.25 * (left + 2 * heat[row + x]! + right);
    }
  }
  for (let y = 0; y < side; y++) {
    const row = y * side;
    const above = (y > 0 ? y - 1 : 0) * side;
    const below = (y < last ? y + 1 : last) * side;
    for (let x = 0; x < side; x++) {
      soft[row + x] = 0.25 * (spare[above + x]! + 2 * spare[row + x]! + spare[below + x]!);
    }
  }
  return soft;
}
