import type { Modality } from '../augment/pair-draw.ts';
import type { SourceImage } from '../augment/warp-job.ts';
import { decodeFailure, decodeImage } from '../data/decode.ts';
import { decodeInfrared } from '../data/pairs/decode-infrared.ts';
import type { RawImage } from '../plots/raster.ts';
import { SourceError } from './errors.ts';

/** The files of both pictures of a view, of the same size; null where a sensor has none. */
export interface ImagePair {
  readonly visible: string | null;
  readonly infrared: string | null;
}

export interface LoadedPair {
  /** Both pictures one after the other; zeros for the one that is missing. */
  image: SourceImage;
  missing: Modality | null;
  /** The pictures for drawing, visible light first. */
  views: readonly [RawImage, RawImage];
}

const CHANNELS = 3;

/** @throws SourceError BAD_IMAGE for a file that does not decode, and for two sizes */
export async function readPair({ visible, infrared }: ImagePair): Promise<LoadedPair> {
  const first = visible === null ? null : await decoded(visible, (file) => decodeImage(file, CHANNELS));
  const second = infrared === null ? null : await decoded(infrared, decodeInfrared);
  const { width, height } = (first ?? second)!;
  if (first !== null && second !== null && (second.width !== width || second.height !== height)) {
    throw new SourceError(
      'BAD_IMAGE',
      `${infrared} has ${second.width} x ${second.height} pixels, ${visible} ${width} x ${height}`,
      { hint: 'both pictures of a pair have the same size' },
    );
  }
  const size = CHANNELS * width * height;
  const pixels = new Uint8Array(2 * size);
  if (first !== null) pixels.set(first.pixels);
  if (second !== null) pixels.set(second.pixels, size);
  const view = (at: number): RawImage => ({
    data: pixels.subarray(at, at + size),
    width,
    height,
    channels: CHANNELS,
  });
  return {
    image: { pixels, width, height },
    missing: first === null ? 'visible' : second === null ? 'infrared' : null,
    views: [view(0), view(size)],
  };
}

async function decoded(file: string, decode: (file: string) => Promise<SourceImage>): Promise<SourceImage> {
  try {
    return await decode(file);
  } catch (cause) {
    throw new SourceError('BAD_IMAGE', `${file}: ${decodeFailure(cause)}`, {
      hint: 'open it in an image viewer and save it again as JPEG or PNG, or remove it',
      cause,
    });
  }
}
