/** TIFF files as other programs write them: uncompressed, chunky or planar, one page or several. */

export interface TiffPage {
  width: number;
  height: number;
  channels: number;
  /** Samples of a pixel beside each other. */
  samples: readonly number[];
}

export interface TiffOptions {
  bits?: 8 | 16 | 32;
  planar?: boolean;
  bigEndian?: boolean;
  /** EXIF orientation of every page. */
  orientation?: number;
  /** 1 whole numbers, 2 with sign, 3 floating point. */
  format?: 1 | 2 | 3;
}

const SHORT = 3;
const LONG = 4;

export function tiffFile(pages: readonly TiffPage[], options: TiffOptions = {}): Buffer {
  const { bits = 8, planar = false, bigEndian = false, orientation = 1, format = 1 } = options;
  const bytes: number[] = [];
  const put = (value: number, size: number) => {
    const digits = Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) % 256);
    bytes.push(...(bigEndian ? digits.reverse() : digits));
  };
  const set = (at: number, value: number) => {
    const end = bytes.length;
    put(value, 4);
    bytes.splice(at, 4, ...bytes.splice(end));
  };
  bytes.push(...Buffer.from(bigEndian ? 'MM' : 'II'));
  put(42, 2);
  put(0, 4);
  let link = 4;
  for (const { width, height, channels, samples } of pages) {
    const strips = planar
      ? Array.from({ length: channels }, (_, c) => samples.filter((_, i) => i % channels === c))
      : [samples];
    const offsets = strips.map((strip) => {
      const offset = bytes.length;
      for (const sample of strip) put(sample, bits / 8);
      return offset;
    });
    const extra = channels === 1 ? 0 : channels === 2 ? 1 : channels - 3;
    const tags: [tag: number, type: number, values: number[]][] = [
      [256, LONG, [width]],
      [257, LONG, [height]],
      [258, SHORT, new Array(channels).fill(bits)],
      [259, SHORT, [1]],
      [262, SHORT, [channels >= 3 ? 2 : 1]],
      [273, LONG, offsets],
      [274, SHORT, [orientation]],
      [277, SHORT, [channels]],
      [278, LONG, [height]],
      [279, LONG, strips.map(({ length }) => (length * bits) / 8)],
      [284, SHORT, [planar ? 2 : 1]],
      ...(extra > 0 ? [[338, SHORT, new Array(extra).fill(0)] as [number, number, number[]]] : []),
      [339, SHORT, new Array(channels).fill(format)],
    ];
    // Values of more than four bytes lie outside the directory.
    const placed = tags.map(([tag, type, values]) => {
      const size = type === SHORT ? 2 : 4;
      if (values.length * size <= 4) return { tag, type, values, size, at: null };
      const at = bytes.length;
      for (const value of values) put(value, size);
      return { tag, type, values, size, at };
    });
    set(link, bytes.length);
    put(placed.length, 2);
    for (const { tag, type, values, size, at } of placed) {
      put(tag, 2);
      put(type, 2);
      put(values.length, 4);
      if (at !== null) put(at, 4);
      else {
        for (const value of values) put(value, size);
        for (let i = values.length * size; i < 4; i++) bytes.push(0);
      }
    }
    link = bytes.length;
    put(0, 4);
  }
  return Buffer.from(bytes);
}

/** A page whose channel c holds `(c + 1) * step`, one more in its upper left quarter. */
export function steppedPage(channels: number, { width = 20, height = 12, step = 20 } = {}): TiffPage {
  const samples = Array.from({ length: width * height * channels }, (_, i) => {
    const pixel = Math.floor(i / channels);
    const corner = pixel % width < width / 2 && Math.floor(pixel / width) < height / 2;
    return ((i % channels) + 1) * step + (corner ? 1 : 0);
  });
  return { width, height, channels, samples };
}

/** The channels of a page as pages of one channel. */
export function pagesOf({ width, height, channels, samples }: TiffPage): TiffPage[] {
  return Array.from({ length: channels }, (_, c) => ({
    width,
    height,
    channels: 1,
    samples: samples.filter((_, i) => i % channels === c),
  }));
}
