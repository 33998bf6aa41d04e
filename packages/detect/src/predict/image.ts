import sharp from 'sharp';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/**
 * Decodes an image file or its bytes to RGB, turned upright as its EXIF orientation says.
 *
 * @throws SourceError `BAD_IMAGE`
 */
export async function decodeImage(source: string | Uint8Array): Promise<RawImage> {
  const name = typeof source === 'string' ? source : `image of ${source.length} bytes`;
  try {
    const { data, info } = await sharp(source, { failOn: 'error' })
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, channels: info.channels };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.trim().split('\n')[0] : String(cause);
    throw new SourceError('BAD_IMAGE', `${name}: not a readable image (${reason})`, {
      hint: 'open it in an image viewer and save it again as JPEG or PNG, or remove it',
      cause,
    });
  }
}
