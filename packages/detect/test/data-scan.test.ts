import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp, { type Sharp } from 'sharp';
import type { DataSet } from '../src/data/data-yaml.ts';
import { decodeImage } from '../src/data/decode.ts';
import { DataError } from '../src/data/errors.ts';
import { readImageHeader } from '../src/data/image-header.ts';
import { type ScanOptions, scanSplit } from '../src/data/scan.ts';
import { scratchFolder, write } from './scratch.ts';

const root = scratchFolder();
process.env.MEZZO_HOME = path.join(root, 'home');
const LABEL = '0 0.5 0.5 0.5 0.5\n';
const JPEG = await picture(64, 48).jpeg().toBuffer();
const TINY = await picture(9, 40).jpeg().toBuffer();

function picture(width: number, height: number): Sharp {
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 251);
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

let sets = 0;
/** A new data set with a folder of training images; `files` maps paths below it to contents. */
function dataSet(
  files: Record<string, string | Uint8Array>,
  names = ['cat', 'dog'],
): DataSet & { folder: string } {
  const folder = path.join(root, `set${sets++}`);
  write(folder, 'images/train/.keep', '');
  for (const [name, content] of Object.entries(files)) write(folder, name, content);
  const train = [path.join(folder, 'images/train')];
  return { folder, file: path.join(folder, 'data.yaml'), splits: { train }, names, channels: 3 };
}

const train = (data: DataSet, options: ScanOptions = {}) =>
  scanSplit(data, 'train', { cache: false, ...options });

async function refused(scan: Promise<unknown>, message: string, hint: string): Promise<void> {
  await assert.rejects(scan, (error) => {
    assert.ok(error instanceof DataError);
    assert.deepEqual([error.code, error.message, error.hint], ['BAD_DATA', message, hint]);
    return true;
  });
}

describe('scanSplit', () => {
  it('finds images in subfolders, their sizes and labels; an image without a label file is background', async () => {
    const data = dataSet({
      'images/train/b.jpg': JPEG,
      'images/train/deep/a.PNG': await picture(20, 30).png().toBuffer(),
      'images/train/c.webp': await picture(40, 20).webp().toBuffer(),
      'images/train/notes.md': 'not an image',
      'labels/train/b.txt': `${LABEL}${LABEL}1 0.5 0.5 0 0.5\n`,
      'labels/train/c.txt': '',
    });
    const { images, report, names } = await train(data);
    const found = images.map(({ path: file, ...rest }) => [path.relative(data.folder, file), rest]);
    assert.deepEqual(found, [
      ['images/train/b.jpg', { width: 64, height: 48, labels: Float32Array.of(0, 0.5, 0.5, 0.5, 0.5) }],
      ['images/train/c.webp', { width: 40, height: 20, labels: new Float32Array(0) }],
      ['images/train/deep/a.PNG', { width: 20, height: 30, labels: new Float32Array(0) }],
    ]);
    assert.deepEqual(report, {
      images: 3,
      found: 3,
      backgrounds: 2,
      boxes: 1,
      leftOut: [
        { what: 'repeated label', count: 1, first: path.join(data.folder, 'labels/train/b.txt:2') },
        { what: 'box without area', count: 1, first: path.join(data.folder, 'labels/train/b.txt:3') },
      ],
      skipped: [],
      remembered: 0,
      cacheProblem: null,
    });
    assert.deepEqual(names, ['cat', 'dog']);
  });

  it('keeps chosen classes, joins all into one, and takes a fraction', async () => {
    const two = '0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.25 0.25\n';
    const data = dataSet({
      'images/train/a.jpg': JPEG,
      'images/train/b.jpg': JPEG,
      'images/train/c.jpg': JPEG,
      'labels/train/a.txt': two,
      'labels/train/b.txt': two,
      'labels/train/c.txt': two,
    });
    const { images, report } = await train(data, { classes: [1], fraction: 0.5 });
    assert.deepEqual(
      images.map(({ labels }) => Array.from(labels)),
      [
        [1, 0.5, 0.5, 0.25, 0.25],
        [1, 0.5, 0.5, 0.25, 0.25],
      ],
    );
    assert.equal(report.found, 2);
    const single = await train(data, { singleCls: true });
    assert.deepEqual(single.names, ['item']);
    assert.deepEqual(Array.from(single.images[0]!.labels), [0, 0.5, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.25, 0.25]);
  });

  it('reads lists of images, relative to the list', async () => {
    const data = dataSet({
      'images/train/a.jpg': JPEG,
      'labels/train/a.txt': LABEL,
      'list.txt': './images/train/a.jpg\n\nimages/train/a.jpg\n',
    });
    data.splits.train = [path.join(data.folder, 'list.txt')];
    assert.equal((await train(data)).images.length, 2);
  });

  it('knows the size of a picture that its EXIF orientation lays on its side', async () => {
    for (const orientation of [1, 3, 6, 8]) {
      const turned = await picture(64, 48).withMetadata({ orientation }).jpeg().toBuffer();
      const data = dataSet({ 'images/train/a.jpg': turned, 'labels/train/a.txt': LABEL });
      const { images } = await train(data);
      const { width, height } = await decodeImage(images[0]!.path);
      assert.deepEqual([images[0]!.width, images[0]!.height], [width, height]);
      assert.equal(width, orientation >= 5 ? 48 : 64);
    }
  });
});

describe('bad images and labels', () => {
  const broken = () =>
    dataSet({
      'images/train/a.jpg': JPEG,
      'images/train/b.jpg': JPEG,
      'images/train/cut.jpg': JPEG.subarray(0, JPEG.length - 200),
      'images/train/empty.jpg': '',
      'images/train/text.png': 'this is not a picture',
      'images/train/tiny.jpg': TINY,
      'labels/train/a.txt': LABEL,
      'labels/train/b.txt': `${LABEL}7 0.5 0.5 0.5 0.5\n`,
    });
  const faults = (folder: string) => [
    `${folder}/labels/train/b.txt:2: class 7 is out of range: data.yaml has 2 (0 … 1)`,
    `${folder}/images/train/cut.jpg: the file is truncated`,
    `${folder}/images/train/empty.jpg: not an image that can be decoded`,
    `${folder}/images/train/text.png: not an image that can be decoded`,
    `${folder}/images/train/tiny.jpg: 9 x 40 pixels: each side must have at least 10`,
  ];
  const listed = (lines: string[]) => lines.map((line) => `\n  ${line}`).join('');

  it('are skipped and listed', async () => {
    const data = broken();
    const { images, report } = await train(data);
    assert.deepEqual(
      images.map((image) => path.basename(image.path)),
      ['a.jpg'],
    );
    const lines = report.skipped.map(
      ({ file, line, reason }) => `${file}${line ? `:${line}` : ''}: ${reason}`,
    );
    assert.deepEqual(lines, faults(data.folder));
  });

  it('are an error with strict', async () => {
    const data = broken();
    const message = `train: 5 of 6 images have a fault${listed(faults(data.folder))}`;
    const hint = 'correct or remove them; without strict=true such images are skipped';
    await refused(train(data, { strict: true }), message, hint);
  });

  it('are an error when there is nothing else; the list is cut after ten', async () => {
    const data = dataSet({});
    for (let i = 10; i < 22; i++) write(data.folder, `images/train/${i}.jpg`, 'x');
    const ten = Array.from(
      { length: 10 },
      (_, i) => `${data.folder}/images/train/${10 + i}.jpg: not an image that can be decoded`,
    );
    const message = `train: none of the 12 images can be used${listed(ten)}\n  … and 2 more`;
    await refused(
      train(data),
      message,
      'correct the files named above, or what the data.yaml says about them',
    );
  });

  it('files with something appended are whole', async () => {
    const padded = Buffer.concat([JPEG, Buffer.alloc(16)]);
    const data = dataSet({ 'images/train/a.jpg': padded, 'labels/train/a.txt': LABEL });
    assert.equal((await train(data, { strict: true })).images.length, 1);
  });

  it('an empty split is an error', async () => {
    const data = dataSet({ 'images/train/readme.txt': 'nothing here' });
    const message = `train: there are no images in ${data.folder}/images/train`;
    const hint =
      'put images there (avif, bmp, dng, heic, heif, jp2, jpeg, jpeg2000, jpg, mpo, png, tif, tiff, webp), ' +
      "or correct 'train:' in the data.yaml";
    await refused(train(data), message, hint);
  });

  it('a split without any label file is an error', async () => {
    const data = dataSet({ 'images/train/a.jpg': JPEG });
    const { folder } = data;
    const message = `train: no image has a label file; for ${folder}/images/train/a.jpg it would be ${folder}/labels/train/a.txt`;
    const hint =
      "labels lie beside the images, with 'labels' in place of the last folder 'images', one .txt an image";
    await refused(train(data), message, hint);
  });

  it('a split that is a file of another kind is an error', async () => {
    const data = dataSet({ 'images.zip': 'PK' });
    data.splits.train = [path.join(data.folder, 'images.zip')];
    const message = `${data.folder}/images.zip: neither a folder of images nor a .txt list of them`;
    const hint =
      'name a folder, a text file with one image path a line, a COCO .json file, or a folder of VOC .xml files';
    await refused(train(data), message, hint);
  });

  it('a split that cannot be read is an error', async () => {
    const data = dataSet({});
    const source = path.join(data.folder, 'gone');
    data.splits.train = [source];
    const message = `cannot read ${source}: ENOENT: no such file or directory, stat '${source}'`;
    await refused(train(data), message, 'correct the path in the data.yaml, or make it readable');
  });

  it('a listed image that is not there is skipped', async () => {
    const data = dataSet({
      'images/train/a.jpg': JPEG,
      'labels/train/a.txt': LABEL,
      'list.txt': 'gone.jpg\nimages/train/a.jpg\n',
    });
    data.splits.train = [path.join(data.folder, 'list.txt')];
    const { report } = await train(data);
    assert.deepEqual(report.skipped, [{ file: `${data.folder}/gone.jpg`, reason: 'no such file' }]);
  });
});

describe('the label cache', () => {
  const cacheFolder = path.join(root, 'home', 'labels');
  const scan = (data: DataSet) => scanSplit(data, 'train');
  const set = () =>
    dataSet({
      'images/train/a.jpg': JPEG,
      'images/train/b.jpg': JPEG,
      'labels/train/a.txt': LABEL,
      'labels/train/b.txt': LABEL,
    });

  it('remembers settled files, and sees every change of them', async () => {
    const data = set();
    assert.equal((await scan(data)).report.remembered, 0);
    assert.equal((await scan(data)).report.remembered, 2, 'files as new as this are known by their content');
    await sleep(1100);
    const second = await scan(data);
    assert.equal(second.report.remembered, 2);
    assert.equal(second.report.boxes, 2);

    // The same length and modification time: only the change time tells.
    const label = path.join(data.folder, 'labels/train/a.txt');
    writeFileSync(label, LABEL.replace('0 ', '1 '));
    utimesSync(label, 1e9, 1e9);
    const third = await scan(data);
    assert.equal(third.report.remembered, 1);
    assert.equal(third.images[0]!.labels[0], 1);

    rmSync(path.join(data.folder, 'labels/train/b.txt'));
    assert.equal((await scan(data)).report.backgrounds, 1);
  });

  it('knows files that were touched or copied by their content', async () => {
    const data = set();
    await scan(data);
    for (const name of ['images/train/a.jpg', 'labels/train/a.txt', 'labels/train/b.txt']) {
      const file = path.join(data.folder, name);
      const content = readFileSync(file);
      rmSync(file);
      writeFileSync(file, content);
    }
    assert.equal((await scan(data)).report.remembered, 2);
    writeFileSync(path.join(data.folder, 'labels/train/b.txt'), `${LABEL}1 0.5 0.5 0.25 0.25\n`);
    const { report } = await scan(data);
    assert.deepEqual([report.remembered, report.boxes], [1, 3]);
  });

  it('holds for the class names and channels it was made for', async () => {
    const data = set();
    await scan(data);
    assert.equal((await scan({ ...data, names: ['cat', 'dog', 'cow'] })).report.remembered, 0);
    assert.equal((await scan({ ...data, channels: 1 })).report.remembered, 0);
  });

  it('is made again when it is damaged, and its absence costs nothing', async () => {
    const data = set();
    rmSync(cacheFolder, { recursive: true });
    await sleep(1100);
    await scan(data);
    const [name] = readdirSync(cacheFolder);
    const file = path.join(cacheFolder, name!);
    writeFileSync(file, readFileSync(file).subarray(0, 50));
    assert.equal((await scan(data)).report.remembered, 0);
    assert.equal((await scan(data)).report.remembered, 2);
    assert.deepEqual(readdirSync(cacheFolder), [name]);
  });

  it('that cannot be written is reported, and the scan goes on', async () => {
    const data = set();
    rmSync(cacheFolder, { recursive: true });
    writeFileSync(cacheFolder, 'a file where the folder should be');
    const { report } = await scan(data);
    assert.equal(report.images, 2);
    assert.equal(report.cacheProblem, `EEXIST: file already exists, mkdir '${cacheFolder}'`);
    rmSync(cacheFolder);
  });
});

describe('readImageHeader', () => {
  it('agrees with a full decode', async () => {
    const files: Record<string, Buffer> = {
      'progressive.jpg': await picture(33, 21).jpeg({ progressive: true }).toBuffer(),
      'profile.jpg': await picture(33, 21)
        .withIccProfile('p3')
        .withExif({ IFD0: { Artist: 'x'.repeat(30000) } })
        .jpeg()
        .toBuffer(),
      'grey.png': await picture(33, 21).greyscale().png().toBuffer(),
      'interlaced.png': await picture(33, 21).png({ progressive: true }).toBuffer(),
    };
    for (const [name, content] of Object.entries(files)) {
      const file = write(root, name, content);
      const exif = name === 'profile.jpg';
      assert.deepEqual(await readImageHeader(file), { width: 33, height: 21, complete: true, exif }, name);
      const { pixels } = await decodeImage(file);
      assert.equal(pixels.length, 33 * 21 * 3, name);
      const cut = write(root, `cut-${name}`, content.subarray(0, content.length - 5));
      assert.equal((await readImageHeader(cut))?.complete, false, name);
    }
  });

  it('knows neither other formats nor damaged headers', async () => {
    for (const content of [
      await picture(12, 12).webp().toBuffer(),
      Buffer.from([0xff, 0xd8, 0, 0, 0, 0, 0, 0, 0]),
    ]) {
      assert.equal(await readImageHeader(write(root, 'other', content)), null);
    }
  });
});

describe('decodeImage', () => {
  it('brings grey, transparent and 16-bit images to three 8-bit channels', async () => {
    const ramp = Uint16Array.from({ length: 256 }, (_, i) => i * 257);
    const raw = { width: 16, height: 16, channels: 1 } as const;
    const deep = await sharp(ramp, { raw }).toColourspace('grey16').png().toBuffer();
    const clear = await sharp({
      create: { width: 12, height: 12, channels: 4, background: { r: 10, g: 20, b: 30, alpha: 0.5 } },
    })
      .png()
      .toBuffer();
    const grey = await picture(12, 12).greyscale().jpeg().toBuffer();
    for (const [content, side] of [
      [deep, 16],
      [clear, 12],
      [grey, 12],
    ] as const) {
      const { pixels, width, height } = await decodeImage(content);
      assert.deepEqual([width, height, pixels.length], [side, side, side * side * 3]);
    }
    assert.deepEqual(Array.from((await decodeImage(clear)).pixels.subarray(0, 3)), [10, 20, 30]);
  });
});

describe('an unreadable label file', () => {
  it('is a fault', async () => {
    const data = dataSet({
      'images/train/a.jpg': JPEG,
      'images/train/b.jpg': JPEG,
      'labels/train/b.txt': LABEL,
    });
    // A folder under the label's name: unlike permissions, it stops root too.
    const file = path.join(data.folder, 'labels/train/a.txt');
    mkdirSync(file);
    const { report } = await train(data);
    assert.deepEqual(report.skipped, [{ file, reason: 'EISDIR: illegal operation on a directory, read' }]);
  });
});
