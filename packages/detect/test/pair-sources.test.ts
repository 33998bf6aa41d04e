import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { silence } from '../src/data/pairs/silence.ts';
import { readPair } from '../src/predict/pair-image.ts';
import { listPairs } from '../src/predict/pair-sources.ts';
import { scratchFolder, write } from './scratch.ts';

const root = scratchFolder();
for (const file of [
  'images/a.jpg',
  'images/b.jpg',
  'imagesIR/a.png',
  'thermal/b.tif',
  'thermal/c.tif',
  'thermal/d.tif',
]) {
  write(root, file, '');
}
const at = (...parts: string[]) => path.join(root, ...parts);

/** Pairs with paths relative to the folder of the test. */
async function pairs(visible: string | readonly string[] | null, infrared: string | null) {
  const found = await listPairs(visible, infrared);
  const relative = (file: string | null) => (file === null ? null : path.relative(root, file));
  return { ...found, pairs: found.pairs.map((pair) => [relative(pair.visible), relative(pair.infrared)]) };
}

describe('pairs of a prediction', () => {
  it('without source-ir follow the names of the folders', async () => {
    assert.deepEqual(await pairs(at('images'), null), {
      pairs: [
        ['images/a.jpg', 'imagesIR/a.png'],
        ['images/b.jpg', null],
      ],
      notes: [
        '1 of 2 pairs have no infrared picture (b.jpg): its channels are zeros; source-ir= names the pictures',
      ],
    });
  });

  it('of two folders have one name, and a picture alone is a pair too', async () => {
    assert.deepEqual(await pairs(at('images'), at('thermal')), {
      pairs: [
        ['images/a.jpg', null],
        ['images/b.jpg', 'thermal/b.tif'],
        [null, 'thermal/c.tif'],
        [null, 'thermal/d.tif'],
      ],
      notes: [
        '2 of 4 pairs have no visible picture (c.tif, d.tif): its channels are zeros',
        '1 of 4 pairs have no infrared picture (a.jpg): its channels are zeros',
      ],
    });
    const patterns = await pairs(at('images', '*.jpg'), at('thermal', '*'));
    assert.equal(patterns.pairs.length, 4);
  });

  it('of one picture each, and of two lists, need no common names', async () => {
    assert.deepEqual((await pairs(at('images/a.jpg'), at('thermal/c.tif'))).pairs, [
      ['images/a.jpg', 'thermal/c.tif'],
    ]);
    const visible = write(root, 'visible.txt', 'images/b.jpg\nimages/a.jpg\n');
    const infrared = write(root, 'infrared.txt', 'thermal/c.tif\nthermal/d.tif\n');
    assert.deepEqual((await pairs(visible, infrared)).pairs, [
      ['images/b.jpg', 'thermal/c.tif'],
      ['images/a.jpg', 'thermal/d.tif'],
    ]);
  });

  it('of infrared alone have no visible picture; of one visible picture the partner is looked for', async () => {
    assert.deepEqual((await pairs(null, at('thermal/b.tif'))).pairs, [[null, 'thermal/b.tif']]);
    assert.deepEqual((await pairs(at('images/b.jpg'), at('thermal'))).pairs, [
      ['images/b.jpg', 'thermal/b.tif'],
    ]);
  });

  it('are refused when no name is in both', async () => {
    await assert.rejects(listPairs(at('images/a.jpg'), at('thermal')), {
      code: 'SOURCE_MISSING',
      message: 'no picture of source-ir has the name of one of source: b.tif, a.jpg',
    });
  });
});

describe('a pair of pictures', () => {
  const picture = (name: string, width: number, level: number) =>
    sharp({ create: { width, height: 4, channels: 3, background: { r: level, g: level, b: level } } })
      .png()
      .toFile(at(name))
      .then(() => at(name));

  it('is both one after the other; what is missing is zeros', async () => {
    const [visible, infrared] = [await picture('v.png', 6, 50), await picture('i.png', 6, 90)];
    const { image, missing, views } = await readPair({ visible, infrared });
    assert.deepEqual([image.pixels[0], image.pixels.at(-1), missing, views.length], [50, 90, null, 2]);
    const alone = await readPair({ visible: null, infrared });
    assert.deepEqual([alone.image.pixels[0], alone.image.pixels.at(-1), alone.missing], [0, 90, 'visible']);
  });

  it('of two sizes, or with a file that is no picture, is refused', async () => {
    const [visible, infrared] = [await picture('v.png', 6, 50), await picture('wide.png', 8, 90)];
    await assert.rejects(readPair({ visible, infrared }), {
      code: 'BAD_IMAGE',
      message: `${infrared} has 8 x 4 pixels, ${visible} 6 x 4`,
    });
    const broken = write(root, 'broken.png', 'no picture');
    await assert.rejects(readPair({ visible, infrared: broken }), { code: 'BAD_IMAGE' });
  });

  it('loses a sensor with its border', () => {
    const input = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    silence(input, 4, 'infrared');
    assert.deepEqual([...input], [1, 2, 3, 0, 5, 6, 7, 0]);
    silence(input, 4, 'visible');
    assert.deepEqual([...input], [0, 0, 0, 0, 0, 0, 0, 0]);
  });
});
