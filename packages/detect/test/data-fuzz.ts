import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { MezzoError } from '@mezzo/torch';
import fc from 'fast-check';
import sharp from 'sharp';
import { cocoClasses, cocoLabels, readCoco } from '../src/data/coco-json.ts';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { inspectImage } from '../src/data/inspect-image.ts';
import { parseLabels } from '../src/data/label-file.ts';
import type { LabelProblem, Labels } from '../src/data/label-rows.ts';
import { yoloSource } from '../src/data/label-source.ts';
import { vocLabels } from '../src/data/voc-xml.ts';
import { readImage } from '../src/predict/image.ts';
import { bmpFile } from './bmp-file.ts';
import { write } from './scratch.ts';
import { pagesOf, steppedPage, tiffFile } from './tiff-file.ts';

/** A kind of file with undamaged examples, and what reads it: resolves to how the reading ended. */
interface Reader {
  readonly suffix: string;
  readonly examples: readonly Buffer[];
  readonly read: (file: string, content: Buffer) => Promise<string>;
}

/** Outcomes by their number. */
export type Tally = Record<string, number>;

const CLASSES = ['cat', 'dog'];
const PICTURE = { width: 100, height: 50 };

const YAML = `# a data set
path: .
train: [images, list.txt]
val: images
nc: 2
channels: 3
names:
  0: cat
  1: dog
download: https://example.org/a.zip
`;

const TXT =
  '0 0.5 0.5 0.25 0.25\n1 0.25 0.5 0.75 0.25 0.5 0.75\r\n\n1 0.1 0.2 0.05 0.1\n0 0.5 0.5 0.25 0.25\n';

const COCO = JSON.stringify(
  {
    info: { year: 2017 },
    images: [
      { id: 7, file_name: 'a.jpg', width: 100, height: 50 },
      { id: 9, file_name: 'deep/b.jpg', width: 200, height: 100 },
    ],
    annotations: [
      { id: 1, image_id: 7, category_id: 3, bbox: [10, 10, 20.5, 20], iscrowd: 0, area: 400 },
      {
        id: 2,
        image_id: 9,
        category_id: 5,
        bbox: [0, 0, 100, 50],
        iscrowd: 1,
        segmentation: [[1, 2, 3, 4, 5, 6]],
      },
    ],
    categories: [
      { id: 3, name: 'cat' },
      { id: 5, name: 'dog' },
    ],
  },
  null,
  1,
);

const VOC = `<?xml version="1.0" encoding="UTF-8"?>
<annotation verified="yes">
  <filename>a &amp; b.jpg</filename><!-- comment -->
  <size><width>100</width><height>50</height><depth>3</depth></size>
  <object><name>cat</name><difficult>0</difficult>
    <bndbox><xmin>11</xmin><ymin>11.5</ymin><xmax>31</xmax><ymax>31</ymax></bndbox></object>
  <object><name><![CDATA[dog]]></name><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>50</ymax></bndbox></object>
</annotation>
`;

async function imageExamples(): Promise<Buffer[]> {
  const pixels = Buffer.from(Array.from({ length: 32 * 24 * 3 }, (_, i) => (i * 37) % 251));
  const picture = () => sharp(pixels, { raw: { width: 32, height: 24, channels: 3 } });
  const page = steppedPage(4);
  return [
    await picture().jpeg().toBuffer(),
    await picture().withMetadata({ orientation: 6 }).jpeg({ progressive: true }).toBuffer(),
    await picture().png().toBuffer(),
    await picture().greyscale().toColourspace('grey16').png().toBuffer(),
    await picture().png({ palette: true }).toBuffer(),
    await picture().webp().toBuffer(),
    await picture().tiff({ compression: 'lzw' }).toBuffer(),
    tiffFile([page], { planar: true, bits: 16 }),
    tiffFile(pagesOf(page), { bigEndian: true }),
  ];
}

function bitmapExamples(): Buffer[] {
  const rows = (bytes: number) =>
    Array.from({ length: 12 }, (_, y) => Array.from({ length: bytes }, (_, x) => x * y));
  const size = { width: 16, height: 12 };
  const palette = Array.from({ length: 1024 }, (_, i) => i % 256);
  return [
    bmpFile({ ...size, bits: 24, rows: rows(48) }),
    bmpFile({ ...size, bits: 8, palette, rows: rows(16) }),
    bmpFile({
      ...size,
      bits: 32,
      compression: 3,
      masks: [0xff, 0xff00, 0xff0000],
      rows: rows(64),
      topDown: true,
    }),
  ];
}

function outcomeOf(labels: Labels | LabelProblem): string {
  if ('reason' in labels) {
    assert.ok(labels.reason.length > 0);
    return 'refused';
  }
  const { rows } = labels;
  assert.equal(rows.length % 5, 0);
  for (let i = 0; i < rows.length; i += 5) {
    const [cls, ...box] = rows.slice(i, i + 5) as [number, number, number, number, number];
    assert.ok(cls === 0 || cls === 1, `class ${cls}`);
    assert.ok(
      box.every((value) => value >= -0.02 && value <= 1.02) && box[2]! > 0 && box[3]! > 0,
      `box ${box}`,
    );
  }
  return 'read';
}

/** The readers of data sets by name. `folder` holds what their examples refer to. */
export async function dataReaders(folder: string): Promise<Record<string, Reader>> {
  write(folder, 'images/a.jpg', '');
  write(folder, 'list.txt', 'images/a.jpg\n');
  let turn = 0;
  const readPicture = async (file: string) => {
    const channels = [3, 1, 4][turn++ % 3]!;
    const found = await inspectImage(file, yoloSource(file, 2), channels);
    if ('reason' in found) return 'refused';
    const { data, width, height, channels: stored } = await readImage(file, channels);
    assert.deepEqual([width, height], [found.width, found.height]);
    assert.equal(data.length, width * height * stored);
    return 'read';
  };
  return {
    yaml: {
      suffix: '.yaml',
      examples: [Buffer.from(YAML)],
      read: async (file) => {
        const { names, splits, channels } = await readDataYaml(file);
        assert.ok(names.length > 0 && names.every((name) => typeof name === 'string'));
        assert.ok(channels === null || (Number.isInteger(channels) && channels > 0));
        assert.ok(splits.train!.length > 0 && splits.val!.length > 0);
        return 'read';
      },
    },
    txt: {
      suffix: '.txt',
      examples: [Buffer.from(TXT)],
      read: async (_, content) => outcomeOf(parseLabels(content.toString('utf8'), CLASSES.length)),
    },
    coco: {
      suffix: '.json',
      examples: [Buffer.from(COCO), Buffer.from(JSON.stringify(JSON.parse(COCO)))],
      read: async (file) => {
        const { images, categories } = await readCoco(file);
        const classes = cocoClasses(file, categories, CLASSES);
        const outcomes = images.map((image) => outcomeOf(cocoLabels(image, PICTURE, classes)));
        return outcomes.includes('refused') ? 'refused' : 'read';
      },
    },
    voc: {
      suffix: '.xml',
      examples: [Buffer.from(VOC)],
      read: async (_, content) => outcomeOf(vocLabels(content.toString('utf8'), PICTURE, CLASSES)),
    },
    images: { suffix: '.tif', examples: await imageExamples(), read: readPicture },
    bmp: { suffix: '.bmp', examples: bitmapExamples(), read: readPicture },
  };
}

/** Values at which numbers and sizes go wrong. */
const ODD_WORDS = [
  ...[
    '',
    '0',
    '1',
    '-1',
    '0.5',
    '7',
    '1e999',
    'NaN',
    '0x10',
    '4294967296',
    'null',
    'true',
    'cat',
    'bird',
    'é',
  ],
  ...['{', '[', '<', '"', '&', ':', '- ', '\u0000'],
];

/** Damage that files can take; places are fractions of the length, all alike: most of a file is not its beginning. */
const place = fc.noBias(fc.integer({ min: 0, max: 999_999 })).map((millionths) => millionths / 1e6);
const length = fc.integer({ min: 1, max: 40 });
const damage = fc.oneof(
  // It leaves the form as it is most often, and gets further into a reader than other damage.
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('word' as const),
      at: place,
      word: fc.constantFrom(...ODD_WORDS),
    }),
  },
  fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('cut' as const), at: place }),
  fc.record({ kind: fc.constant('remove' as const), at: place, length }),
  fc.record({ kind: fc.constant('move' as const), at: place, to: place, length }),
  fc.record({
    kind: fc.constant('bytes' as const),
    at: place,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
  }),
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(content: Buffer, wound: Damage): Buffer {
  const at = Math.floor(wound.at * content.length);
  const spliced = (from: number, to: number, middle: Uint8Array) =>
    Buffer.concat([content.subarray(0, from), middle, content.subarray(to)]);
  switch (wound.kind) {
    case 'flip': {
      const copy = Buffer.from(content);
      if (copy.length > 0) copy[at] = copy[at]! ^ (1 << wound.bit);
      return copy;
    }
    case 'cut':
      return content.subarray(0, at);
    case 'remove':
      return spliced(at, at + wound.length, Buffer.alloc(0));
    case 'move': {
      const to = Math.floor(wound.to * content.length);
      return spliced(to, to, content.subarray(at, at + wound.length));
    }
    case 'word': {
      // The word of letters and digits around the place.
      const text = content.toString('latin1');
      const from = at - /[\w.]*$/.exec(text.slice(0, at))![0].length;
      return spliced(from, at + /^[\w.]*/.exec(text.slice(at))![0].length, Buffer.from(wound.word));
    }
    case 'bytes':
      return spliced(at, at + wound.bytes.length, wound.bytes);
  }
}

/**
 * Reads `cases` damaged files with one reader. Each must end in a good result, a refusal with a reason, or a MezzoError;
 * nothing may be left in the folder. A failure names the seed and the case.
 */
export async function fuzzReader(
  reader: Reader,
  folder: string,
  cases: number,
  seed: number,
): Promise<Tally> {
  const tally: Tally = {};
  const before = readdirSync(folder).sort();
  const wounds = fc.tuple(
    fc.nat(reader.examples.length - 1),
    fc.array(damage, { minLength: 1, maxLength: 3 }),
  );
  const property = fc.asyncProperty(wounds, async ([example, list]) => {
    const content = list.reduce(damaged, reader.examples[example]!);
    const file = write(folder, `case${reader.suffix}`, content);
    const outcome = await reader.read(file, content).catch((error: unknown) => {
      if (error instanceof MezzoError) return error.code;
      throw error;
    });
    rmSync(file);
    assert.deepEqual(readdirSync(folder).sort(), before, 'files were left behind');
    tally[outcome] = (tally[outcome] ?? 0) + 1;
  });
  await fc.assert(property, { numRuns: cases, seed, endOnFailure: true });
  return tally;
}
