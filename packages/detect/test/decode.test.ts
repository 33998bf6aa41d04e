import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { decodeFailure, decodeImage, decodePixels, probeImage } from '../src/data/decode.ts';
import { inspectImage } from '../src/data/inspect-image.ts';
import { yoloSource } from '../src/data/label-source.ts';
import { scratchFolder, write } from './scratch.ts';
import { pagesOf, steppedPage, type TiffOptions, tiffFile } from './tiff-file.ts';

const folder = scratchFolder();
const last = (pixels: Uint8Array, channels: number) => Array.from(pixels.subarray(-channels));

async function refused(input: Uint8Array, channels: number, reason: string): Promise<void> {
  await assert.rejects(decodePixels(input, channels), (error) => {
    assert.equal(decodeFailure(error), reason);
    return true;
  });
}

describe('pictures of many channels', () => {
  const page = steppedPage(10);
  const steps = Array.from({ length: 10 }, (_, i) => (i + 1) * 20);
  const layouts: Record<string, Buffer> = {
    chunky: tiffFile([page]),
    planar: tiffFile([page], { planar: true }),
    'big-endian': tiffFile([page], { planar: true, bigEndian: true }),
    'a stack of pages': tiffFile(pagesOf(page)),
  };
  for (const [name, content] of Object.entries(layouts)) {
    it(`are read from a TIFF: ${name}`, async () => {
      const file = write(folder, `${name}.tif`, content);
      const { data, width, height, channels } = await decodePixels(file, 10);
      assert.deepEqual([width, height, channels], [20, 12, 10]);
      assert.deepEqual(last(data, 10), steps);
      assert.deepEqual(
        Array.from(data.subarray(0, 10)),
        steps.map((step) => step + 1),
      );
      assert.deepEqual(await probeImage(file, 10), { width: 20, height: 12 });
      // The loaders take pictures of three channels, one after another.
      const { pixels } = await decodeImage(file, 10);
      assert.equal(pixels.length, 20 * 12 * 12);
      const first = Array.from({ length: 4 }, (_, group) => pixels.subarray(group * 720, group * 720 + 3));
      assert.deepEqual(
        first.flatMap((three) => Array.from(three)),
        [...steps.map((step) => step + 1), 0, 0],
      );
    });
  }

  it('keep the upper byte of 16-bit samples', async () => {
    const deep = steppedPage(4, { step: 20 * 256 + 255 });
    for (const content of [tiffFile([deep], { bits: 16 }), tiffFile(pagesOf(deep), { bits: 16 })]) {
      const { data } = await decodePixels(content, 4);
      assert.deepEqual(last(data, 4), [20, 41, 62, 83]);
    }
  });

  it('are turned upright, in one page and in a stack', async () => {
    const options: TiffOptions = { orientation: 6 };
    for (const content of [tiffFile([page], options), tiffFile(pagesOf(page), options)]) {
      const { data, width, height } = await decodePixels(content, 10);
      assert.deepEqual([width, height], [12, 20]);
      // The upper left quarter has come to the upper right.
      assert.deepEqual([data[0], data[11 * 10]], [20, 21]);
    }
  });

  it('may be colour with alpha, and grey with alpha', async () => {
    const background = { r: 10, g: 20, b: 30, alpha: 40 / 255 };
    const clear = await sharp({ create: { width: 12, height: 12, channels: 4, background } })
      .png()
      .toBuffer();
    assert.deepEqual(last((await decodePixels(clear, 4)).data, 4), [10, 20, 30, 40]);
    assert.deepEqual(last((await decodePixels(tiffFile([steppedPage(2)]), 2)).data, 2), [20, 40]);
  });

  it('are refused where their number is another: both are named', async () => {
    const jpeg = await sharp({ create: { width: 12, height: 12, channels: 3, background: 'red' } })
      .jpeg()
      .toBuffer();
    await refused(jpeg, 10, 'it has 3 channels, the network takes 10');
    await refused(layouts.chunky!, 3, 'it has 10 channels, the network takes 3');
    await refused(layouts['a stack of pages']!, 1, 'it has 10 pages of one channel, the network takes 1');
    await refused(layouts.planar!, 4, 'it has 10 channels, the network takes 4');
  });

  it('are refused with pages of two sizes', async () => {
    const pages = [...pagesOf(page).slice(0, 4), ...pagesOf(steppedPage(1, { width: 10, height: 6 }))];
    const reason = 'its pages, which are its channels, differ in size: 10 x 6 and 20 x 12 pixels';
    await refused(tiffFile(pages), 5, reason);
  });

  it('are refused with samples that are no whole numbers of 8 or 16 bits', async () => {
    const floats = tiffFile([steppedPage(1)], { bits: 32, format: 3 });
    await refused(floats, 1, 'its samples are of type float: 8 or 16-bit whole numbers can be read');
    const signed = tiffFile([steppedPage(1)], { bits: 16, format: 2 });
    await refused(signed, 3, 'its samples are of type short: 8 or 16-bit whole numbers can be read');
  });
});

describe('grey and colour', () => {
  it('of 16 bits keep the upper byte, in PNG and TIFF', async () => {
    const levels = Uint16Array.from({ length: 256 }, (_, i) => [255, 256, 383, 384, 65535][i] ?? i * 257);
    const png = await sharp(levels, { raw: { width: 16, height: 16, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toBuffer();
    const tiff = tiffFile([{ width: 16, height: 16, channels: 1, samples: Array.from(levels) }], {
      bits: 16,
    });
    for (const content of [png, tiff]) {
      const { data } = await decodePixels(content);
      assert.deepEqual(Array.from(data.subarray(0, 15)), [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 255, 255, 255]);
      assert.equal(data[255 * 3], 255);
    }
  });

  it('a stack of three grey pages is colour', async () => {
    assert.deepEqual(last((await decodePixels(tiffFile(pagesOf(steppedPage(3))))).data, 3), [20, 40, 60]);
  });

  it('an animation is its first frame, a palette its colours', async () => {
    const frame = (level: number) => Buffer.alloc(12 * 12 * 3, level);
    const frames = Buffer.concat([frame(200), frame(10)]);
    const raw = { width: 12, height: 24, channels: 3, pageHeight: 12 } as const;
    const webp = await sharp(frames, { raw }).webp({ lossless: true }).toBuffer();
    const { data, height } = await decodePixels(webp);
    assert.deepEqual([height, data[0]], [12, 200]);
    const palette = await sharp(frame(77), { raw: { width: 12, height: 12, channels: 3 } })
      .png({ palette: true })
      .toBuffer();
    assert.deepEqual(last((await decodePixels(palette)).data, 3), [77, 77, 77]);
  });
});

describe('EXIF orientation', () => {
  // Where the bright upper left quarter lies in the upright picture, as OpenCV shows it.
  const QUARTERS = ['1000', '0100', '0001', '0010', '1000', '0100', '0001', '0010'];
  for (const format of ['jpeg', 'png', 'tiff'] as const) {
    it(`of all eight values, in ${format}`, async () => {
      for (const [i, quarter] of QUARTERS.entries()) {
        const orientation = i + 1;
        const pixels = Buffer.alloc(20 * 12 * 3);
        for (let at = 0; at < 240; at++) {
          if (at % 20 < 10 && at < 120) pixels.fill(255, at * 3, at * 3 + 3);
        }
        const content = await sharp(pixels, { raw: { width: 20, height: 12, channels: 3 } })
          .withMetadata({ orientation })
          .toFormat(format)
          .toBuffer();
        const file = write(folder, `o${orientation}.${format}`, content);
        const { data, width, height } = await decodePixels(file);
        const expected = orientation >= 5 ? [12, 20] : [20, 12];
        assert.deepEqual([width, height], expected, `${format} ${orientation}`);
        const bright = [0.25, 0.75].flatMap((y) =>
          [0.25, 0.75].map((x) =>
            data[(Math.floor(y * height) * width + Math.floor(x * width)) * 3]! > 128 ? 1 : 0,
          ),
        );
        assert.equal(bright.join(''), quarter, `${format} ${orientation}`);
        const found = await inspectImage(file, yoloSource(file, 1), 3);
        assert.ok(!('reason' in found));
        assert.deepEqual([found.width, found.height], expected, `header of ${path.basename(file)}`);
      }
    });
  }
});
