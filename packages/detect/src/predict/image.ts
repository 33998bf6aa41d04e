import { COLOUR_CHANNELS } from '../data/channels.ts';
import { decodeFailure, decodePixels, UnsuitableImage } from '../data/decode.ts';
import type { Decoding } from '../data/decode-as.ts';
import { decodeInfrared } from '../data/pairs/decode-infrared.ts';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/**
 * Decodes an image file or its bytes, turned upright as its EXIF orientation says, for a network of so many channels: RGB
 * for 3 and 1, or three channels that are the same of infrared.
 *
 * @throws SourceError `BAD_IMAGE`
 */
export async function readImage(
  source: string | Uint8Array,
  channels = 3,
  decoding: Decoding = 'plain',
): Promise<RawImage> {
  try {
    if (decoding === 'plain') return await decodePixels(source, channels);
    const { pixels, ...size } = await decodeInfrared(source);
    return { data: pixels, ...size, channels: COLOUR_CHANNELS };
  } catch (cause) {
    const name = typeof source === 'string' ? source : `image of ${source.length} bytes`;
    throw new SourceError('BAD_IMAGE', `${name}: ${decodeFailure(cause)}`, {
      hint:
        cause instanceof UnsuitableImage
          ? 'give images of the kind that the model was trained on'
          : 'open it in an image viewer and save it again as JPEG or PNG, or remove it',
      cause,
    });
  }
}
