/** Decoded images of the recent past, so that a mosaic's partners need not be decoded again. */
import type { NativeImage } from '@mezzo/libtorch';
import { fitLongSide } from '../augment/geometry.ts';
import { resizeJob, type SourceImage } from '../augment/warp-job.ts';
import { decodeFailure, decodeImage } from './decode.ts';
import { DataError } from './errors.ts';
import type { Fault } from './inspect-image.ts';
import type { LabelledImage } from './scan.ts';

export interface DecodedOptions {
  images: readonly LabelledImage[];
  pixels: Pick<NativeImage, 'imageLetterbox'>;
  /** Larger images are reduced to this long side; 0 keeps them as they are. */
  imgsz: number;
  /** Never forget an image. */
  keepAll: boolean;
  /** An image that does not decode is an error; otherwise it is reported once and null. */
  strict: boolean;
  onSkip?: (fault: Fault) => void;
}

interface Entry {
  image: Promise<SourceImage | null>;
  /** The last position of the run's sequence of samples that the image was used for. */
  position: number;
}

export class DecodedImages {
  private readonly options: DecodedOptions;
  private readonly entries = new Map<number, Entry>();
  private readonly reported = new Set<number>();

  constructor(options: DecodedOptions) {
    this.options = options;
  }

  /** Image `index`, needed for the sample at `position`; null when it cannot be decoded. */
  get(index: number, position: number): Promise<SourceImage | null> {
    const known = this.entries.get(index);
    if (known) {
      known.position = Math.max(known.position, position);
      return known.image;
    }
    const image = this.load(index);
    // Whoever awaits the image sees the error; one that nobody awaits any more is not a crash.
    image.catch(() => {});
    this.entries.set(index, { image, position });
    return image;
  }

  /** Forgets the images last used before `position`. */
  forgetBefore(position: number): void {
    if (this.options.keepAll) return;
    for (const [index, entry] of this.entries) {
      if (entry.position < position) this.entries.delete(index);
    }
  }

  private async load(index: number): Promise<SourceImage | null> {
    const { path } = this.options.images[index]!;
    let image: SourceImage;
    try {
      image = await decodeImage(path);
    } catch (error) {
      this.skip(index, { file: path, reason: decodeFailure(error) }, error);
      return null;
    }
    return this.reduce(image);
  }

  private skip(index: number, fault: Fault, cause: unknown): void {
    if (this.options.strict) {
      throw new DataError(`${fault.file}: ${fault.reason}`, { hint: 'repair or remove the image', cause });
    }
    if (this.reported.has(index)) return;
    this.reported.add(index);
    this.options.onSkip?.(fault);
  }

  // Large photographs would fill the memory; the gather reads fewer pixels, too.
  private async reduce(image: SourceImage): Promise<SourceImage> {
    const { imgsz, pixels } = this.options;
    if (imgsz === 0 || Math.max(image.width, image.height) <= imgsz) return image;
    const size = fitLongSide(image, imgsz);
    const reduced = new Uint8Array(size.width * size.height * 3);
    await pixels.imageLetterbox(reduced, resizeJob(image, size), image.pixels);
    return { pixels: reduced, ...size };
  }
}
