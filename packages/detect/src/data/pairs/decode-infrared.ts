/** Decoding of infrared pictures to 8-bit grey, three times for the loaders' native code. */
import sharp from 'sharp';
import type { SourceImage } from '../../augment/warp-job.ts';
import { decodeImage, maybeBmp } from '../decode.ts';

/** Part of the pixels of a 16-bit picture that may end up black, and white. */
const CLIPPED = 0.001;
const READING = { failOn: 'error', ignoreIcc: true } as const;

/**
 * Decodes an infrared picture of one or three channels, turned upright. Of 16-bit samples, which hold temperatures in a
 * narrow part of their range, the range that the picture uses becomes black to white, as thermal cameras show it.
 * @throws as {@link decodeImage}
 */
export async function decodeInfrared(input: string | Uint8Array): Promise<SourceImage> {
  if (maybeBmp(input)) return decodeImage(input);
  const { depth, pages = 1 } = await sharp(input, READING).metadata();
  if (depth !== 'ushort' || pages > 1) return decodeImage(input);
  const { data, info } = await sharp(input, READING)
    .autoOrient()
    .extractChannel(0)
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  // A copy: the decoder's memory need not begin at an even address.
  const samples = new Uint16Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  const { low, high } = usedRange(samples);
  const scale = 255 / Math.max(1, high - low);
  const pixels = new Uint8Array(samples.length * 3);
  for (let i = 0; i < samples.length; i++) {
    const level = Math.round(Math.min(255, Math.max(0, (samples[i]! - low) * scale)));
    pixels[3 * i] = level;
    pixels[3 * i + 1] = level;
    pixels[3 * i + 2] = level;
  }
  return { pixels, width: info.width, height: info.height };
}

/** The samples between which all but a few lie. */
function usedRange(samples: Uint16Array): { low: number; high: number } {
  const counts = new Uint32Array(65536);
  for (const sample of samples) counts[sample]!++;
  const few = CLIPPED * samples.length;
  const from = (start: number, step: 1 | -1) => {
    let passed = 0;
    for (let level = start; ; level += step) {
      passed += counts[level]!;
      if (passed > few) return level;
    }
  };
  return { low: from(0, 1), high: from(65535, -1) };
}
