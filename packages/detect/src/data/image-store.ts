/**
 * Decoded images on disk, a file each, for later epochs and runs (`cache=disk`). A file holds as long as its image keeps
 * size and time of change, or at least its content; what is damaged or outdated is made again.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { mezzoHome } from '@mezzo/libtorch';
import { fitLongSide, type Size } from '../augment/geometry.ts';
import type { SourceImage } from '../augment/warp-job.ts';
import { mapConcurrent } from './concurrent.ts';
import type { Decoding } from './decode-as.ts';

export interface ImageStoreOptions {
  /** Images are kept reduced to this long side; 0: as they are. */
  imgsz: number;
  /** Channels of the pictures that are made of them. */
  channels: number;
  folder?: string;
  /** Told once why nothing is written any more. */
  onProblem: (reason: string) => void;
}

/** Magic; width, height, bytes a pixel, nothing as 32-bit; size and time of the image as 64-bit; two digests. */
const MAGIC = Buffer.from('MEZZOIM1');
const DIGEST = 16;
const HEADER = 40 + 2 * DIGEST;
const READERS = 16;
/** Part of a disk's free space that may be filled. */
const USABLE = 0.9;

export class ImageStore {
  readonly folder: string;
  private readonly options: ImageStoreOptions;
  private readonly verified = new Set<string>();
  private writable = true;

  constructor(options: ImageStoreOptions) {
    this.options = options;
    this.folder = options.folder ?? path.join(mezzoHome(), 'images');
  }

  /** What was kept of an image; null when there is nothing, or nothing that still holds. */
  async read(image: string, decoding: Decoding): Promise<SourceImage | null> {
    const file = this.fileOf(image, decoding);
    const bytes = await readFile(file).catch(() => null);
    if (bytes === null) return null;
    const kept = parse(bytes);
    if (kept === null) return null;
    if (!this.verified.has(file)) {
      if (!digest(kept.pixels).equals(kept.pixelDigest)) return null;
      this.verified.add(file);
    }
    const { size, mtimeNs } = await stat(image, { bigint: true });
    if (size !== kept.sourceSize) return null;
    if (mtimeNs !== kept.sourceTime && !digest(await readFile(image)).equals(kept.sourceDigest)) return null;
    return { pixels: kept.pixels, width: kept.width, height: kept.height };
  }

  /** Keeps a decoded image. A disk that refuses it is reported once, and not asked again. */
  async write(image: string, decoding: Decoding, decoded: SourceImage): Promise<void> {
    if (!this.writable) return;
    const file = this.fileOf(image, decoding);
    const temporary = `${file}.${process.pid}.tmp`;
    try {
      const [{ size, mtimeNs }, content] = [await stat(image, { bigint: true }), await readFile(image)];
      const header = Buffer.alloc(HEADER);
      MAGIC.copy(header);
      header.writeUInt32LE(decoded.width, 8);
      header.writeUInt32LE(decoded.height, 12);
      header.writeUInt32LE(decoded.pixels.length / (decoded.width * decoded.height), 16);
      header.writeBigUInt64LE(size, 24);
      header.writeBigInt64LE(mtimeNs, 32);
      digest(content).copy(header, 40);
      digest(decoded.pixels).copy(header, 40 + DIGEST);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(temporary, Buffer.concat([header, decoded.pixels]));
      await rename(temporary, file);
      this.verified.add(file);
    } catch (error) {
      // What kept it from being written is told; that there is nothing to remove is not.
      await rm(temporary, { force: true }).catch(() => undefined);
      if (this.writable) this.options.onProblem((error as Error).message);
      this.writable = false;
    }
  }

  /** Bytes that the files of these images still need, and how many the disk has to offer; a pair has two files. */
  async room(
    images: readonly (Size & { path: string; infrared?: string; thermal?: boolean })[],
  ): Promise<{ needed: number; free: number }> {
    await mkdir(this.folder, { recursive: true });
    const { imgsz, channels } = this.options;
    const files = images.flatMap(({ path: own, infrared, thermal = false, width, height }) => {
      const bytes = (depth: number) => HEADER + decodedBytes({ width, height }, imgsz, depth);
      return infrared === undefined
        ? [{ file: this.fileOf(own, thermal ? 'infrared' : 'plain'), whole: bytes(channels) }]
        : [
            { file: this.fileOf(own, 'plain'), whole: bytes(3) },
            { file: this.fileOf(infrared, 'infrared'), whole: bytes(3) },
          ];
    });
    const sizes = await mapConcurrent(files, READERS, async ({ file, whole }) => {
      const there = await stat(file).catch(() => null);
      return there?.size === whole ? 0 : whole;
    });
    const { bavail, bsize } = await statfs(this.folder);
    return { needed: sizes.reduce((sum, size) => sum + size, 0), free: Math.floor(USABLE * bavail * bsize) };
  }

  private fileOf(image: string, decoding: Decoding): string {
    const { imgsz, channels } = this.options;
    const key = JSON.stringify([path.resolve(image), imgsz, channels, decoding]);
    const name = createHash('sha256').update(key).digest('hex').slice(0, 32);
    return path.join(this.folder, name.slice(0, 2), `${name}.pixels`);
  }
}

/** Bytes of an image once it is decoded, and reduced to a long side of `imgsz` (0: not at all). */
export function decodedBytes(image: Size, imgsz: number, channels: number): number {
  const reduced = imgsz > 0 && Math.max(image.width, image.height) > imgsz;
  const { width, height } = reduced ? fitLongSide(image, imgsz) : image;
  return width * height * 3 * Math.ceil(channels / 3);
}

interface Kept extends SourceImage {
  sourceSize: bigint;
  sourceTime: bigint;
  sourceDigest: Buffer;
  pixelDigest: Buffer;
}

/** null for a file that is cut short, or of another form. */
function parse(bytes: Buffer): Kept | null {
  if (bytes.length < HEADER || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const [width, height, depth] = [bytes.readUInt32LE(8), bytes.readUInt32LE(12), bytes.readUInt32LE(16)];
  if (bytes.length !== HEADER + width * height * depth) return null;
  return {
    width,
    height,
    pixels: bytes.subarray(HEADER),
    sourceSize: bytes.readBigUInt64LE(24),
    sourceTime: bytes.readBigInt64LE(32),
    sourceDigest: bytes.subarray(40, 40 + DIGEST),
    pixelDigest: bytes.subarray(40 + DIGEST, HEADER),
  };
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, DIGEST);
}
