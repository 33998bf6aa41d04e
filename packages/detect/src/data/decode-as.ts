/** The two ways in which a file becomes pixels. */
import type { SourceImage } from '../augment/warp-job.ts';
import { COLOUR_CHANNELS } from './channels.ts';
import { decodeImage } from './decode.ts';
import { decodeInfrared } from './pairs/decode-infrared.ts';

/** 16-bit samples keep their upper byte (`plain`), or the range that the picture uses is stretched (`infrared`). */
export type Decoding = 'plain' | 'infrared';

/**
 * Decodes an image for a network of so many channels; infrared becomes three channels that are the same.
 * @throws as {@link decodeImage}
 */
export const decodeAs = (
  decoding: Decoding,
  input: string | Uint8Array,
  channels = COLOUR_CHANNELS,
): Promise<SourceImage> => (decoding === 'infrared' ? decodeInfrared(input) : decodeImage(input, channels));
