import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { DataError } from '../src/data/errors.ts';
import { scanSplit, scanWarnings } from '../src/data/scan.ts';
import { convertCocoToYolo } from '../src/data/to-yolo.ts';
import { scratchFolder, write } from './scratch.ts';

const root = scratchFolder();
process.env.MEZZO_HOME = path.join(root, 'home');
const JPEG = await sharp({ create: { width: 100, height: 50, channels: 3, background: 'grey' } })
  .jpeg()
  .toBuffer();

/** Six annotations of two images; class ids with a gap, in no order. */
const FILE = {
  images: [
    { id: 7, file_name: 'deep/a.jpg', width: 100, height: 50 },
    { id: 9, file_name: 'b.jpg', width: 200, height: 100 },
    { id: 11, file_name: 'empty.jpg', width: 100, height: 50 },
  ],
  annotations: [
    { id: 1, image_id: 7, category_id: 3, bbox: [10, 10, 20, 20], iscrowd: 0 },
    { id: 2, image_id: 7, category_id: 5, bbox: [0, 0, 100, 50], iscrowd: 1 },
    { id: 3, image_id: 7, category_id: 5, bbox: [5, 5, 0, 10], iscrowd: 0 },
    { id: 4, image_id: 9, category_id: 5, bbox: [180, 80, 40, 40], iscrowd: 0 },
    { id: 5, image_id: 7, category_id: 3, bbox: [10, 10, 20, 20], iscrowd: 0 },
    { id: 6, image_id: 9, category_id: 3, bbox: [-20, -20, 40, 40] },
  ],
  categories: [
    { id: 5, name: 'dog' },
    { id: 3, name: 'cat' },
  ],
};

let sets = 0;
/** A data set in COCO's own layout; `yaml` follows `train:` and `val:`, which are the same file. */
function cocoSet({ content = JSON.stringify(FILE), yaml = '' } = {}): {
  folder: string;
  yaml: string;
  file: string;
} {
  const folder = path.join(root, `set${sets++}`);
  for (const { file_name } of FILE.images) write(folder, `val2017/${file_name}`, JPEG);
  const file = write(folder, 'annotations/instances_val2017.json', content);
  const source = 'annotations/instances_val2017.json';
  return { folder, file, yaml: write(folder, 'data.yaml', `train: ${source}\nval: ${source}\n${yaml}`) };
}

const scan = async (yaml: string) => scanSplit(await readDataYaml(yaml), 'val', { cache: false });

async function refused(attempt: Promise<unknown>, message: string, hint: string): Promise<void> {
  await assert.rejects(attempt, (error) => {
    assert.ok(error instanceof DataError);
    assert.deepEqual([error.message, error.hint], [message, hint]);
    return true;
  });
}

describe('a COCO file as a split', () => {
  // The boxes are those that the reference's converter writes, the class ids are made contiguous.
  it('gives classes by id, boxes of the stated size, backgrounds; crowds and empty boxes are left out', async () => {
    const { folder, file, yaml } = cocoSet();
    const { images, names, report } = await scan(yaml);
    assert.deepEqual(names, ['cat', 'dog']);
    const found = images.map((image) => [path.relative(folder, image.path), Array.from(image.labels)]);
    assert.deepEqual(found, [
      ['val2017/deep/a.jpg', Array.from(Float32Array.of(0, 0.2, 0.4, 0.2, 0.4))],
      ['val2017/b.jpg', Array.from(Float32Array.of(1, 1, 1, 0.2, 0.4, 0, 0, 0, 0.2, 0.4))],
      ['val2017/empty.jpg', []],
    ]);
    assert.deepEqual(report.leftOut, [
      { what: 'crowd region', count: 1, first: file },
      { what: 'box without area', count: 1, first: file },
      { what: 'repeated label', count: 1, first: file },
    ]);
    assert.deepEqual([report.backgrounds, report.boxes], [1, 3]);
    assert.deepEqual(scanWarnings('val', report), [
      `val: labels were left out\n  1 x crowd region (first: ${file})\n  1 x box without area (first: ${file})\n` +
        `  1 x repeated label (first: ${file})`,
    ]);
  });

  it('takes the classes that the yaml names, by their names', async () => {
    const { report, images } = await scan(cocoSet({ yaml: 'names: [bird, dog]\n' }).yaml);
    assert.deepEqual(
      report.leftOut.map(({ what, count }) => [what, count]),
      [
        ['object of another class (category 3)', 3],
        ['crowd region', 1],
        ['box without area', 1],
      ],
    );
    assert.equal(images[1]!.labels[0], 1);
    const { yaml, file } = cocoSet({ yaml: 'names: [bird]\n' });
    await refused(
      scan(yaml),
      `${file}: none of its categories (cat, dog) is a class of the data set (bird)`,
      "write 'names' as the categories are called, or leave 'names' out of the yaml: they become the classes",
    );
  });

  it('names where it looked for images, and takes them from where the yaml says', async () => {
    const { folder, file } = cocoSet();
    const elsewhere = path.join(folder, 'elsewhere');
    write(elsewhere, 'a/instances.json', JSON.stringify(FILE));
    const yaml = write(elsewhere, 'data.yaml', 'train: a/instances.json\nval: a/instances.json\n');
    const places = [
      'a',
      'a/images',
      'a/instances',
      'a/images/instances',
      '',
      'images',
      'instances',
      'images/instances',
    ];
    await refused(
      scan(yaml),
      `${elsewhere}/a/instances.json: its first image, deep/a.jpg, is in none of ` +
        places.map((place) => path.join(elsewhere, place)).join(', '),
      'say where the images are: `train: {annotations: FILE.json, images: FOLDER}`',
    );
    const source = '{annotations: annotations/instances_val2017.json, images: val2017}';
    const given = write(folder, 'given.yaml', `train: ${source}\nval: [${source}]\n`);
    assert.equal((await scan(given)).images.length, 3);
    assert.equal(path.dirname(file), path.join(folder, 'annotations'));
  });

  it('is read again when its categories change, whatever is remembered', async () => {
    const { yaml, file } = cocoSet({ yaml: 'names: [cat, dog]\n' });
    const remembering = async () => scanSplit(await readDataYaml(yaml), 'val');
    assert.equal((await remembering()).images[0]!.labels[0], 0);
    assert.equal((await remembering()).report.remembered, 3);
    const categories = FILE.categories.map(({ id, name }) => ({ id, name: name === 'cat' ? 'dog' : 'cat' }));
    writeFileSync(file, JSON.stringify({ ...FILE, categories }));
    const { images, report } = await remembering();
    assert.deepEqual([images[0]!.labels[0], report.remembered], [1, 0]);
  });

  it('skips an image whose proportions or boxes are not those of its annotation', async () => {
    const images = FILE.images.map((image) =>
      image.id === 7 ? { ...image, width: 50, height: 100 } : image,
    );
    const annotations = [
      ...FILE.annotations,
      { id: 8, image_id: 11, category_id: 3, bbox: [150, 10, 10, 10] },
    ];
    const { yaml, folder, file } = cocoSet({ content: JSON.stringify({ ...FILE, images, annotations }) });
    const { report } = await scan(yaml);
    assert.equal(path.dirname(path.dirname(file)), folder);
    assert.deepEqual(report.skipped, [
      { file, reason: 'its labels are for 50 x 100 pixels, the upright picture has 100 x 50' },
      {
        file,
        reason:
          'annotation 8: a box (centre 155, 15, size 10 x 10) lies outside the picture of 100 x 50 pixels',
      },
    ]);
  });

  const form = "a COCO file is an object with the lists 'images', 'annotations' and 'categories'";
  const bad: [content: unknown, reason: string][] = [
    [[], "there is no list 'categories'"],
    [{ ...FILE, annotations: 5 }, "there is no list 'annotations'"],
    [{ ...FILE, images: [null] }, 'images[0] is no object'],
    [{ ...FILE, images: [{ id: 1 }] }, "images[0] needs an 'id' and a text 'file_name'"],
    [{ ...FILE, images: [FILE.images[0], FILE.images[0]] }, 'images[1]: the id 7 appears twice'],
    [
      { ...FILE, categories: [{ id: 'a', name: 'b' }] },
      "categories[0] needs a whole number 'id' and a text 'name'",
    ],
    [{ ...FILE, categories: [FILE.categories[0], FILE.categories[0]] }, 'two categories share an id'],
    [
      { ...FILE, annotations: [{ image_id: 7, category_id: 3, bbox: [1, 2, 3] }] },
      "annotations[0] needs 'bbox' (four numbers) and a whole number 'category_id'",
    ],
  ];
  for (const [content, reason] of bad) {
    it(`refuses: ${reason}`, async () => {
      const { yaml, file } = cocoSet({ content: JSON.stringify(content) });
      await refused(scan(yaml), `${file}: ${reason}`, form);
    });
  }

  it('refuses malformed JSON, with its line where the parser tells it', async () => {
    const { yaml, file } = cocoSet({ content: '{\n"images": [\n}' });
    await assert.rejects(scan(yaml), (error) => {
      assert.ok(error instanceof DataError);
      // Not every Node says where.
      assert.match(error.message.slice(file.length), /^(:3)?: malformed JSON: .+$/);
      return true;
    });
  });
});

describe('convertCocoToYolo', () => {
  it('writes what is read directly', async () => {
    const { folder, yaml } = cocoSet();
    const out = path.join(folder, 'yolo');
    const written = await convertCocoToYolo(path.join(folder, 'annotations'), out);
    assert.deepEqual(written.splits, { val: { images: 3, boxes: 3, backgrounds: 1 } });
    const data = await readDataYaml(written.to, { splits: ['val'] });
    assert.deepEqual(data.names, ['cat', 'dog']);
    const labels = async (split: ReturnType<typeof scan>) =>
      (await split).images.map((image) => [path.basename(image.path), Array.from(image.labels)]).sort();
    assert.deepEqual(await labels(scanSplit(data, 'val', { cache: false })), await labels(scan(yaml)));
  });

  it('leaves nothing behind when it fails', async () => {
    const { folder, file } = cocoSet({ content: '{}' });
    const out = path.join(folder, 'yolo');
    await assert.rejects(convertCocoToYolo(file, out), { message: `${file}: there is no list 'categories'` });
    await assert.rejects(readDataYaml(path.join(out, 'data.yaml')), { code: 'BAD_DATA' });
  });
});
