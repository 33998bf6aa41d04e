import { decodeFailure, decodePixels, UnsuitableImage } from '../data/decode.ts';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/**
 * Decodes an image file or its bytes, turned upright as its EXIF orientation says, for a network of so many channels: RGB
 * for 3 and 1.
 *
 * @throws SourceError `BAD_IMAGE`
 */
export async function readImage(source: string | Uint8Array, channels = 3): Promise<RawImage> {
  try {
    return await decodePixels(source, channels);
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
