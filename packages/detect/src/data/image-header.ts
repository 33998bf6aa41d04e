/** Size of a JPEG or PNG from its first bytes, without decoding it. */
import { type FileHandle, open } from 'node:fs/promises';

export interface ImageHeader {
  /** As stored. */
  width: number;
  height: number;
  /** Whether the file ends as its format demands; a file that does not may be truncated. */
  complete: boolean;
  /** Whether EXIF data may turn the picture: what the decoder makes of it counts. */
  exif: boolean;
}

const HEAD_BYTES = 16384;
const JPEG_END = Buffer.from([0xff, 0xd9]);
const PNG_START = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const PNG_END = Buffer.from([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);

/** Reads ranges of a file, most of them from its first bytes, which are read once. */
class Reader {
  private readonly handle: FileHandle;
  private readonly head: Buffer;

  private constructor(handle: FileHandle, head: Buffer) {
    this.handle = handle;
    this.head = head;
  }

  static async open(handle: FileHandle): Promise<Reader> {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return new Reader(handle, buffer.subarray(0, bytesRead));
  }

  /** `length` bytes from `position`; fewer at the end of the file. */
  async at(position: number, length: number): Promise<Buffer> {
    if (position + length <= this.head.length) return this.head.subarray(position, position + length);
    const { buffer, bytesRead } = await this.handle.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  }
}

/**
 * The header of a JPEG or PNG; null for every other format, and for a file whose header cannot be understood.
 * @throws the errors of the file system
 */
export async function readImageHeader(path: string): Promise<ImageHeader | null> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    const reader = await Reader.open(handle);
    const start = await reader.at(0, 8);
    if (start.equals(PNG_START)) return await pngHeader(reader, size);
    if (start.length === 8 && start.readUInt16BE(0) === 0xffd8) return await jpegHeader(reader, size);
    return null;
  } finally {
    await handle.close();
  }
}

async function pngHeader(reader: Reader, size: number): Promise<ImageHeader | null> {
  const header = await reader.at(16, 8);
  if (header.length < 8) return null;
  const end = await reader.at(Math.max(0, size - PNG_END.length), PNG_END.length);
  return {
    width: header.readUInt32BE(0),
    height: header.readUInt32BE(4),
    complete: end.equals(PNG_END),
    exif: await hasExif(reader),
  };
}

/** Does an eXIf chunk come before the pixels? */
async function hasExif(reader: Reader): Promise<boolean> {
  for (let position = PNG_START.length; ; ) {
    const chunk = await reader.at(position, 8);
    if (chunk.length < 8) return false;
    const name = chunk.toString('latin1', 4, 8);
    if (name === 'eXIf') return true;
    if (name === 'IDAT' || name === 'IEND') return false;
    position += 12 + chunk.readUInt32BE(0);
  }
}

async function jpegHeader(reader: Reader, size: number): Promise<ImageHeader | null> {
  let exif = false;
  for (let position = 2; ; ) {
    const marker = await reader.at(position, 4);
    if (marker.length < 4 || marker[0] !== 0xff) return null;
    const kind = marker[1]!;
    if (kind === 0xff) {
      position++; // a fill byte
      continue;
    }
    const length = marker.readUInt16BE(2);
    if (kind === 0xe1) exif ||= (await reader.at(position + 4, 4)).toString('latin1') === 'Exif';
    if (isFrame(kind)) {
      const frame = await reader.at(position + 5, 4);
      if (frame.length < 4) return null;
      const height = frame.readUInt16BE(0);
      const width = frame.readUInt16BE(2);
      const end = await reader.at(size - JPEG_END.length, JPEG_END.length);
      return { width, height, complete: end.equals(JPEG_END), exif };
    }
    position += 2 + length;
  }
}

/** Start-of-frame markers: C0 … CF without the tables DHT (C4), JPG (C8) and DAC (CC). */
function isFrame(kind: number): boolean {
  return kind >= 0xc0 && kind <= 0xcf && kind !== 0xc4 && kind !== 0xc8 && kind !== 0xcc;
}
