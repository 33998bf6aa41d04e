import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { scanSplit } from '../src/data/scan.ts';
import { convertCocoToYolo, convertVocToYolo } from '../src/data/to-yolo.ts';
import { parseVoc, vocLabels } from '../src/data/voc-xml.ts';
import { scratchFolder, write } from './scratch.ts';

const root = scratchFolder();
const JPEG = await sharp({ create: { width: 100, height: 50, channels: 3, background: 'grey' } })
  .jpeg()
  .toBuffer();

const object = (name: string, box: readonly number[], more = '') =>
  `<object>\n<name>${name}</name>${more}<bndbox><xmin>${box[0]}</xmin><ymin>${box[1]}</ymin>` +
  `<xmax>${box[2]}</xmax><ymax>${box[3]}</ymax></bndbox></object>`;
const annotation = (...objects: string[]) =>
  `<?xml version="1.0"?>\n<annotation><filename>a.jpg</filename>\n<size><width>100</width><height>50</height>` +
  `<depth>3</depth></size>\n${objects.join('\n')}</annotation>\n`;
const PICTURE = { width: 100, height: 50 };
const NAMES = ['cat', 'dog'];

describe('vocLabels', () => {
  it('counts pixels from 1, as the reference does; difficult objects and other classes are left out', () => {
    const text = annotation(
      object('dog', [11, 11, 31, 31]),
      object('cat', [1, 1, 101, 51], '<difficult>1</difficult>'),
      object('bird', [1, 1, 5, 5]),
      object('cat', [21, 11, 41, 21], '<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>'),
    );
    assert.deepEqual(vocLabels(text, PICTURE, NAMES), {
      rows: [1, 0.2, 0.4, 0.2, 0.4, 0, 0.3, 0.3, 0.2, 0.2],
      leftOut: [
        { what: 'difficult object', line: 6 },
        { what: "object of another class ('bird')", line: 8 },
      ],
    });
  });

  it('understands entities, CDATA and comments, and no document type', () => {
    const text = '<annotation><!-- a --><filename>a &amp; <![CDATA[b]]>.jpg</filename></annotation>';
    assert.deepEqual(parseVoc(text), { filename: 'a & b.jpg', size: { width: 0, height: 0 }, objects: [] });
    const bomb = '<!DOCTYPE a [<!ENTITY b "ccc">]><annotation><filename>&b;</filename></annotation>';
    assert.deepEqual(parseVoc(bomb), { line: 1, reason: 'malformed XML: undefined entity.' });
  });

  const bad: [text: string, problem: { line?: number; reason: string }][] = [
    ['', { line: 1, reason: 'malformed XML: document must contain a root element.' }],
    ['<html/>', { line: 1, reason: '<html>, where <annotation> is expected' }],
    ['<annotation>\n<size>\n</annotation>', { line: 3, reason: 'malformed XML: unexpected close tag.' }],
    [annotation('<object>\n</object>'), { line: 4, reason: 'an object without a <name>' }],
    [annotation('<object><name>cat</name></object>'), { line: 4, reason: "object 'cat' has no <xmin>" }],
    [
      annotation(object('cat', [1, 2, 3, Number.NaN])),
      { line: 4, reason: "<ymax> of object 'cat' is 'NaN', not a number" },
    ],
    [
      annotation(object('cat', [150, 2, 160, 10])),
      {
        line: 4,
        reason: 'a box (centre 154, 5, size 10 x 8) lies outside the picture of 100 x 50 pixels',
      },
    ],
  ];
  for (const [text, problem] of bad) {
    it(`refuses: ${problem.reason}`, () => assert.deepEqual(vocLabels(text, PICTURE, NAMES), problem));
  }

  it('refuses a size of other proportions', () => {
    assert.deepEqual(vocLabels(annotation(), { width: 50, height: 100 }, NAMES), {
      reason: 'its labels are for 100 x 50 pixels, the upright picture has 50 x 100',
    });
  });
});

let sets = 0;
/** VOC's own layout with two training annotations, one of them in a subfolder, and one to validate. */
function vocSet(): string {
  const folder = path.join(root, `voc${sets++}`);
  write(folder, 'Annotations/a.xml', annotation(object('dog', [11, 11, 31, 31])));
  write(folder, 'Annotations/deep/b.xml', annotation(object('cat', [11, 11, 31, 31])));
  write(folder, 'Annotations/c.xml', annotation());
  for (const name of ['a', 'deep/b', 'c']) write(folder, `JPEGImages/${name}.jpg`, JPEG);
  write(folder, 'ImageSets/Main/train.txt', 'a\nb 1\nc -1\n');
  write(folder, 'ImageSets/Main/val.txt', 'c\n');
  return folder;
}

const scan = async (yaml: string, split: 'train' | 'val' = 'train') =>
  scanSplit(await readDataYaml(yaml), split, { cache: false });
const files = (folder: string, { images }: Awaited<ReturnType<typeof scan>>) =>
  images.map((image) => path.relative(folder, image.path));

describe('VOC annotations as a split', () => {
  it('are read by the lists of ImageSets, by folder, and as the yaml says', async () => {
    const folder = vocSet();
    const names = 'names: [cat, dog]\n';
    const main = 'ImageSets/Main';
    const lists = write(folder, 'l.yaml', `train: ${main}/train.txt\nval: ${main}/val.txt\n${names}`);
    const train = await scan(lists);
    assert.deepEqual(files(folder, train), ['JPEGImages/a.jpg', 'JPEGImages/deep/b.jpg']);
    assert.deepEqual(Array.from(train.images[0]!.labels), Array.from(Float32Array.of(1, 0.2, 0.4, 0.2, 0.4)));
    assert.equal((await scan(lists, 'val')).report.backgrounds, 1);
    const whole = write(folder, 'f.yaml', `train: Annotations\nval: Annotations\n${names}`);
    assert.equal((await scan(whole)).images.length, 3);
    const source = `{annotations: Annotations, images: JPEGImages, list: ${main}/val.txt}`;
    const given = write(folder, 'g.yaml', `train: ${source}\nval: ${source}\n${names}`);
    assert.deepEqual(files(folder, await scan(given)), ['JPEGImages/c.jpg']);
  });

  it('are the labels of a folder of images without label files', async () => {
    const folder = path.join(root, 'beside');
    write(folder, 'images/a.jpg', JPEG);
    write(folder, 'images/a.xml', annotation(object('cat', [11, 11, 31, 31])));
    const yaml = write(folder, 'data.yaml', 'train: images\nval: images\nnames: [cat]\n');
    assert.equal((await scan(yaml)).report.boxes, 1);
    write(folder, 'labels/a.txt', '');
    assert.equal((await scan(yaml)).report.boxes, 0);
  });

  it('without an image, or malformed, are skipped and listed', async () => {
    const folder = vocSet();
    write(folder, 'Annotations/lost.xml', '<annotation/>');
    write(folder, 'Annotations/c.xml', '<annotation>');
    const yaml = write(folder, 'f.yaml', 'train: Annotations\nval: Annotations\nnames: [cat, dog]\n');
    const { skipped } = (await scan(yaml)).report;
    assert.deepEqual(skipped, [
      { file: `${folder}/Annotations/c.xml`, line: 1, reason: 'malformed XML: unclosed tag: annotation' },
      { file: `${folder}/Annotations/lost.jpg`, reason: 'no such file' },
    ]);
  });
});

describe('convertVocToYolo', () => {
  it('writes what is read directly, split by split', async () => {
    const folder = vocSet();
    const written = await convertVocToYolo(folder, path.join(root, 'out'));
    assert.deepEqual(written.splits, {
      train: { images: 2, boxes: 2, backgrounds: 0 },
      val: { images: 1, boxes: 0, backgrounds: 1 },
    });
    const { images, names } = await scan(written.to);
    assert.deepEqual(names, ['cat', 'dog']);
    assert.deepEqual(
      images.map((image) => [path.relative(path.join(root, 'out'), image.path), image.labels[0]]),
      [
        ['images/train/a.jpg', 1],
        ['images/train/deep/b.jpg', 0],
      ],
    );
    await assert.rejects(convertVocToYolo(folder, path.join(root, 'out')), {
      message: `${path.join(root, 'out')} is not empty`,
    });
  });

  it('refuses a folder without annotations', async () => {
    const folder = path.join(root, 'nothing');
    write(folder, 'readme.md', '');
    const message = `there are no VOC annotations with objects in ${folder}`;
    await assert.rejects(convertVocToYolo(folder, path.join(root, 'out2')), { message });
    for (const input of [path.join(folder, 'readme.md'), path.join(folder, 'gone')]) {
      const absent = { code: 'BAD_DATA', message: `there is no folder ${input}` };
      await assert.rejects(convertVocToYolo(input, path.join(root, 'out2')), absent);
      await assert.rejects(convertCocoToYolo(input, path.join(root, 'out2')), absent);
    }
  });
});
