import type { Modality } from '../../augment/pair-draw.ts';

/** Channels of visible light, which come first. */
const VISIBLE = 3;

/**
 * Makes a modality's channels zeros, the border too, as modality dropout does in training.
 * @param input [pixels, channels] of one image
 */
export function silence(input: Uint8Array, channels: number, missing: Modality): void {
  const [from, to] = missing === 'visible' ? [0, VISIBLE] : [VISIBLE, channels];
  for (let pixel = 0; pixel < input.length; pixel += channels) input.fill(0, pixel + from, pixel + to);
}
