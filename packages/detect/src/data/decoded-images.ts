/** Decoded images: those of the recent past, whose pictures join a mosaic, or all; and those kept on disk. */
import type { NativeImage } from '@mezzo/libtorch';
import { fitLongSide } from '../augment/geometry.ts';
import { resizeJob, type SourceImage } from '../augment/warp-job.ts';
import { COLOUR_CHANNELS } from './channels.ts';
import { decodeFailure, UnsuitableImage } from './decode.ts';
import { type Decoding, decodeAs } from './decode-as.ts';
import { DataError } from './errors.ts';
import type { ImageStore } from './image-store.ts';
import type { Fault } from './inspect-image.ts';
import type { LabelledImage } from './scan.ts';

export interface DecodedOptions {
  images: readonly LabelledImage[];
  pixels: Pick<NativeImage, 'imageLetterbox'>;
  /** Of the pictures that are made of them. */
  channels: number;
  /** Larger images are reduced to this long side; 0 keeps them as they are. */
  imgsz: number;
  /** Never forget an image. */
  keepAll: boolean;
  /** Where they are kept from run to run, reduced. */
  store?: ImageStore | null;
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
    const { images, channels } = this.options;
    const { path, infrared, thermal = false } = images[index]!;
    let file = path;
    try {
      if (infrared === undefined) return await this.kept(path, thermal ? 'infrared' : 'plain', channels);
      const visible = await this.kept(path, 'plain', COLOUR_CHANNELS);
      file = infrared;
      return joined(visible, await this.kept(infrared, 'infrared', COLOUR_CHANNELS));
    } catch (error) {
      this.skip(index, { file, reason: decodeFailure(error) }, error);
      return null;
    }
  }

  /** A file as the store has it, or decoded and reduced. */
  private async kept(file: string, decoding: Decoding, channels: number): Promise<SourceImage> {
    const { store } = this.options;
    const known = await store?.read(file, decoding);
    if (known) return known;
    const reduced = await this.reduce(await decodeAs(decoding, file, channels));
    await store?.write(file, decoding, reduced);
    return reduced;
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
    const area = 3 * image.width * image.height;
    const reducedArea = 3 * size.width * size.height;
    const groups = image.pixels.length / area;
    const reduced = new Uint8Array(groups * reducedArea);
    const job = resizeJob(image, size);
    for (let group = 0; group < groups; group++) {
      const out = reduced.subarray(group * reducedArea, (group + 1) * reducedArea);
      await pixels.imageLetterbox(out, job, image.pixels.subarray(group * area, (group + 1) * area));
    }
    return { pixels: reduced, ...size };
  }
}

/** Both pictures of a pair, one after the other. */
function joined(visible: SourceImage, infrared: SourceImage): SourceImage {
  const { width, height } = visible;
  if (infrared.width !== width || infrared.height !== height) {
    const sizes = `${infrared.width} x ${infrared.height} pixels, the visible one ${width} x ${height}`;
    throw new UnsuitableImage(`it has ${sizes}`);
  }
  const pixels = new Uint8Array(visible.pixels.length + infrared.pixels.length);
  pixels.set(visible.pixels);
  pixels.set(infrared.pixels, visible.pixels.length);
  return { width, height, pixels };
}
