/** Windows bitmaps, which the decoder of all other images does not know: uncompressed, 1 to 32 bits a pixel. */
import type { RawImage } from '../plots/raster.ts';

/** Why a bitmap cannot be read. */
export class BmpError extends Error {}

export interface BmpHeader {
  width: number;
  height: number;
  /** Rows from the top; otherwise from the bottom, as is usual. */
  topDown: boolean;
  bits: 1 | 4 | 8 | 16 | 24 | 32;
  /** Where the pixels begin in the file, and bytes of a row there. */
  offset: number;
  stride: number;
  /** Place of the palette and bytes of its entries; bits of red, green and blue in pixels without one. */
  palette: { offset: number; entry: number };
  masks: readonly [number, number, number];
}

const BITS: readonly number[] = [1, 4, 8, 16, 24, 32];
const OLD_HEADER = 12;
const NEW_HEADER = 40;
const RGB = 0;
const BIT_FIELDS = 3;
const MOST_SIDE = 65500;
const MASKS = { 16: [0x7c00, 0x03e0, 0x001f], 32: [0xff0000, 0xff00, 0xff] } as const;

/** Bytes that hold every header. */
export const BMP_HEAD = 70;

export function isBmp(bytes: Uint8Array): boolean {
  return bytes[0] === 0x42 && bytes[1] === 0x4d;
}

/** @throws {BmpError} */
export function readBmpHeader(head: Buffer): BmpHeader {
  if (head.length < 26) throw new BmpError('the file is truncated');
  const size = head.readUInt32LE(14);
  const old = size === OLD_HEADER;
  if ((!old && size < NEW_HEADER) || (!old && head.length < 54))
    throw new BmpError('not a bitmap that can be decoded');
  const width = old ? head.readUInt16LE(18) : head.readInt32LE(18);
  const signed = old ? head.readUInt16LE(20) : head.readInt32LE(22);
  const height = Math.abs(signed);
  const bits = head.readUInt16LE(old ? 24 : 28);
  const compression = old ? RGB : head.readUInt32LE(30);
  if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE || !BITS.includes(bits)) {
    throw new BmpError('not a bitmap that can be decoded');
  }
  const fields = compression === BIT_FIELDS && (bits === 16 || bits === 32);
  if (compression !== RGB && !fields) throw new BmpError('compressed bitmaps cannot be read');
  if (fields && head.length < 66) throw new BmpError('the file is truncated');
  const masks = fields
    ? ([head.readUInt32LE(54), head.readUInt32LE(58), head.readUInt32LE(62)] as const)
    : MASKS[bits === 16 ? 16 : 32];
  return {
    width,
    height,
    topDown: signed < 0,
    bits: bits as BmpHeader['bits'],
    offset: head.readUInt32LE(10),
    stride: Math.ceil((width * bits) / 32) * 4,
    palette: { offset: 14 + size, entry: old ? 3 : 4 },
    masks,
  };
}

/** Decodes a bitmap to RGB; an alpha channel is dropped. @throws {BmpError} */
export function decodeBmp(file: Buffer): RawImage {
  const header = readBmpHeader(file.subarray(0, BMP_HEAD));
  const { width, height, topDown, offset, stride } = header;
  if (offset + stride * height > file.length) throw new BmpError('the file is truncated');
  const data = new Uint8Array(width * height * 3);
  const pixel = header.bits <= 8 ? palettePixel(file, header) : colourPixel(file, header);
  for (let y = 0; y < height; y++) {
    const row = offset + (topDown ? y : height - 1 - y) * stride;
    for (let x = 0, to = y * width * 3; x < width; x++, to += 3) pixel(row, x, data, to);
  }
  return { data, width, height, channels: 3 };
}

/** Writes the pixel at `x` of the row that begins at `row` to `to`. */
type Pixel = (row: number, x: number, out: Uint8Array, to: number) => void;

function palettePixel(file: Buffer, { bits, palette, offset }: BmpHeader): Pixel {
  const colours = file.subarray(palette.offset, Math.min(offset, palette.offset + palette.entry * 2 ** bits));
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  return (row, x, out, to) => {
    const shift = 8 - bits - (x % perByte) * bits;
    const at = ((file[row + Math.floor(x / perByte)]! >> shift) & mask) * palette.entry;
    // An index beyond the palette is black.
    for (let c = 0; c < 3; c++) out[to + c] = colours[at + 2 - c] ?? 0;
  };
}

function colourPixel(file: Buffer, { bits, masks }: BmpHeader): Pixel {
  if (bits === 24) {
    return (row, x, out, to) => {
      for (let c = 0; c < 3; c++) out[to + c] = file[row + 3 * x + 2 - c]!;
    };
  }
  const fields = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { shift, most: mask >>> shift };
  });
  const read = bits === 16 ? (at: number) => file.readUInt16LE(at) : (at: number) => file.readUInt32LE(at);
  return (row, x, out, to) => {
    const value = read(row + (bits / 8) * x);
    for (const [c, { shift, most }] of fields.entries()) {
      out[to + c] = most === 0 ? 0 : Math.round((((value >>> shift) & most) * 255) / most);
    }
  };
}
