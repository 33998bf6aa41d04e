import { decodeFailure, decodeImage } from '../data/decode.ts';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/**
 * Decodes an image file or its bytes to RGB, turned upright as its EXIF orientation says.
 *
 * @throws SourceError `BAD_IMAGE`
 */
export async function readImage(source: string | Uint8Array): Promise<RawImage> {
  try {
    const { pixels, width, height } = await decodeImage(source);
    return { data: pixels, width, height, channels: 3 };
  } catch (cause) {
    const name = typeof source === 'string' ? source : `image of ${source.length} bytes`;
    throw new SourceError('BAD_IMAGE', `${name}: ${decodeFailure(cause)}`, {
      hint: 'open it in an image viewer and save it again as JPEG or PNG, or remove it',
      cause,
    });
  }
}
