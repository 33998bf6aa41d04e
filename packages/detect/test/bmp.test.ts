import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeFailure, decodePixels, probeImage } from '../src/data/decode.ts';
import { type Bitmap, bmpFile } from './bmp-file.ts';
import { scratchFolder, write } from './scratch.ts';

const folder = scratchFolder();

const RED = [255, 0, 0];
const GREEN = [0, 255, 0];
const BLUE = [0, 0, 255];
const WHITE = [255, 255, 255];
// Blue, green, red in the file.
const colours = { width: 2, height: 2, bits: 24 };
const PALETTE = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0];

describe('bitmaps', () => {
  const cases: Record<string, [Bitmap, number[][]]> = {
    'of 24 bits, from the bottom': [
      {
        ...colours,
        rows: [
          [255, 0, 0, 255, 255, 255],
          [0, 0, 255, 0, 255, 0],
        ],
      },
      [RED, GREEN, BLUE, WHITE],
    ],
    'of 24 bits, from the top': [
      {
        ...colours,
        topDown: true,
        rows: [
          [0, 0, 255, 0, 255, 0],
          [255, 0, 0, 255, 255, 255],
        ],
      },
      [RED, GREEN, BLUE, WHITE],
    ],
    'of 8 bits': [
      { width: 3, height: 1, bits: 8, palette: PALETTE, rows: [[3, 1, 200]] },
      [WHITE, GREEN, [0, 0, 0]],
    ],
    'of 4 bits': [
      { width: 3, height: 1, bits: 4, palette: PALETTE, rows: [[0x12, 0x30]] },
      [GREEN, BLUE, WHITE],
    ],
    'of 1 bit': [
      { width: 3, height: 1, bits: 1, palette: PALETTE.slice(0, 8), rows: [[0b10100000]] },
      [GREEN, RED, GREEN],
    ],
    'of 16 bits': [{ width: 2, height: 1, bits: 16, rows: [[0x00, 0x7c, 0xe0, 0x03]] }, [RED, GREEN]],
    'with masks': [
      {
        ...{ width: 2, height: 1, bits: 32, compression: 3, masks: [0xff000000, 0xff0000, 0xff00] },
        rows: [[0, 0, 0, 255, 0, 255, 0, 0]],
      },
      [RED, BLUE],
    ],
  };
  for (const [name, [bitmap, pixels]] of Object.entries(cases)) {
    it(`${name} are decoded`, async () => {
      const content = bmpFile(bitmap);
      const { data, width, height } = await decodePixels(content);
      assert.deepEqual([width, height], [bitmap.width, bitmap.height]);
      assert.deepEqual(Array.from(data), pixels.flat());
      const file = write(folder, 'a.bmp', content);
      assert.deepEqual(await probeImage(file, 3), { width, height });
    });
  }

  const bad: [content: Buffer, channels: number, reason: string][] = [
    [bmpFile({ ...colours, rows: [[1, 2, 3, 4, 5, 6]] }), 3, 'the file is truncated'],
    [bmpFile({ ...colours, rows: [], compression: 1 }), 3, 'compressed bitmaps cannot be read'],
    [bmpFile({ ...colours, bits: 7, rows: [] }), 3, 'not a bitmap that can be decoded'],
    [Buffer.from('BM'), 3, 'the file is truncated'],
    [bmpFile(cases['of 16 bits']![0]), 5, 'it has 3 channels, the network takes 5'],
    [Buffer.from('no picture'), 3, 'not an image that can be decoded'],
  ];
  for (const [content, channels, reason] of bad) {
    it(`are refused: ${reason}`, async () => {
      const file = write(folder, 'bad.bmp', content);
      await assert.rejects(decodePixels(file, channels), (error) => decodeFailure(error) === reason);
    });
  }
});
