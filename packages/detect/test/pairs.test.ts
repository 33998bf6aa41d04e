import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import { readDataYaml } from '../src/data/data-yaml.ts';
import { convertLlvipToYolo } from '../src/data/pairs/convert-llvip.ts';
import { infraredFolders } from '../src/data/pairs/path-rule.ts';
import { modalityOf, type PairSplit, pairWarnings, scanPairs } from '../src/data/pairs/scan-pairs.ts';
import { generateNight } from '../src/datasets/night.ts';
import { scratchFolder, write } from './scratch.ts';

const root = scratchFolder();
const once = { cache: false } as const;

before(async () => {
  const set = { train: 20, val: 3, imgsz: 48, seed: 2 };
  await generateNight({ out: path.join(root, 'yolofuse'), ...set });
  await generateNight({ out: path.join(root, 'llvip'), ...set, layout: 'llvip' });
});

/** A copy of the set in YOLOFuse's layout, its yaml without the keys of infrared pictures. */
function copy(name: string, layout = 'yolofuse'): string {
  const folder = path.join(root, name);
  cpSync(path.join(root, layout), folder, { recursive: true });
  const yaml = path.join(folder, 'data.yaml');
  writeFileSync(yaml, readFileSync(yaml, 'utf8').replace(/^\w+_ir:.*\n/gm, ''));
  return folder;
}

function scan(folder: string, options = {}) {
  return readDataYaml(path.join(folder, 'data.yaml')).then((data) =>
    scanPairs(data, 'train', { ...once, ...options }),
  );
}

async function picture(file: string, width: number, height: number, channels: 1 | 3 = 1): Promise<void> {
  const background = channels === 1 ? '#808080' : '#c04020';
  await sharp({ create: { width, height, channels: 3, background } })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .toFile(file);
}

describe('the path rule', () => {
  it('exchanges whole names of folders, the last first', () => {
    const cases: [string, string[]][] = [
      ['/data/images/train', ['/data/imagesIR/train']],
      ['/data/visible/test', ['/data/infrared/test']],
      ['/my-images/images/a', ['/my-images/imagesIR/a']],
      ['/visible/set/images/a', ['/visible/set/imagesIR/a', '/infrared/set/images/a']],
      ['/images2/pictures', []],
    ];
    for (const [folder, expected] of cases) assert.deepEqual(infraredFolders(folder), expected);
  });
});

describe('scanPairs', () => {
  it('reads the layouts of YOLOFuse and LLVIP alike', async () => {
    const [fuse, llvip] = await Promise.all([scan(copy('fuse')), scan(copy('shipped', 'llvip'))]);
    for (const { images, report, names } of [fuse, llvip]) {
      assert.deepEqual(names, ['person', 'vehicle']);
      assert.deepEqual([images.length, report.found, report.problems, report.suspicions], [20, 20, [], []]);
    }
    for (const [i, pair] of fuse.images.entries()) {
      assert.equal(pair.infrared, pair.path.replace('/images/', '/imagesIR/'));
      const other = llvip.images[i]!;
      assert.equal(other.infrared, other.path.replace('/visible/', '/infrared/'));
      assert.equal(pair.labels.length, other.labels.length);
      // VOC has whole pixels.
      for (const [at, value] of pair.labels.entries())
        assert.ok(Math.abs(value - other.labels[at]!) < 1.01 / 48, `${value} ${other.labels[at]}`);
    }
  });

  it('gives one picture of each pair alone, with the labels of the pair', async () => {
    const split = await scan(copy('alone'));
    for (const [modality, key] of [
      ['visible', 'path'],
      ['infrared', 'infrared'],
    ] as const) {
      assert.deepEqual(
        modalityOf(split, modality).images,
        split.images.map(({ width, height, labels, ...files }) => ({
          path: files[key],
          width,
          height,
          labels,
          ...(modality === 'infrared' ? { thermal: true } : {}),
        })),
      );
    }
  });

  it('prefers YOLO rows beside `visible`, and takes the suffix of the partner as it is', async () => {
    const folder = copy('rows', 'llvip');
    write(folder, 'labels/train/000000.txt', '1 0.5 0.5 0.25 0.125\n');
    const jpeg = path.join(folder, 'infrared/train/000000.jpg');
    await sharp(jpeg).png().toFile(jpeg.replace('.jpg', '.png'));
    rmSync(jpeg);
    const { images } = await scan(folder);
    assert.deepEqual(Array.from(images[0]!.labels), [1, 0.5, 0.5, 0.25, 0.125]);
    assert.equal(images[0]!.infrared, jpeg.replace('.jpg', '.png'));
  });

  it('takes infrared folders and lists from the yaml', async () => {
    const folder = copy('named');
    renameSync(path.join(folder, 'imagesIR'), path.join(folder, 'thermal'));
    const yaml = readFileSync(path.join(folder, 'data.yaml'), 'utf8');
    writeFileSync(path.join(folder, 'data.yaml'), `${yaml}train_ir: thermal/train\n`);
    const { images } = await scan(folder);
    assert.equal(images[3]!.infrared, path.join(folder, 'thermal/train/00003.jpg'));

    write(folder, 'rgb.txt', 'images/train/00004.jpg\nimages/train/00001.jpg\n');
    write(folder, 'ir.txt', 'thermal/train/00004.jpg\nthermal/train/00001.jpg\n');
    const lists = yaml.replace('images/train', 'rgb.txt');
    writeFileSync(path.join(folder, 'data.yaml'), `${lists}train_ir: ir.txt\n`);
    const listed = await scan(folder);
    assert.deepEqual(
      listed.images.map(({ infrared }) => path.relative(folder, infrared)),
      ['thermal/train/00004.jpg', 'thermal/train/00001.jpg'],
    );
    write(folder, 'ir.txt', 'thermal/train/00004.jpg\n');
    await assert.rejects(scan(folder), {
      code: 'BAD_DATA',
      message: `${folder}/rgb.txt has 2 pictures, ${folder}/ir.txt has 1: line by line they make the pairs`,
      hint: 'give both lists the same pictures in the same order',
    });
    writeFileSync(path.join(folder, 'data.yaml'), `${lists}train_ir: thermal/train\n`);
    await assert.rejects(scan(folder), {
      message: `${folder}/rgb.txt is a list, ${folder}/thermal/train a folder`,
    });
  });

  it('skips a bad pair among many, with its reason', async () => {
    const folder = copy('some');
    rmSync(path.join(folder, 'imagesIR/train/00002.jpg'));
    await picture(path.join(folder, 'imagesIR/train/00005.jpg'), 40, 30);
    await picture(path.join(folder, 'imagesIR/train/stray.png'), 48, 48);
    const { images, report } = await scan(folder);
    assert.equal(images.length, 18);
    assert.deepEqual(pairWarnings('train', report), [
      [
        'train: 2 of 20 pairs were skipped',
        '  1 without an infrared picture',
        `    ${folder}/images/train/00002.jpg: there is no ${folder}/imagesIR/train/00002.jpg`,
        '  1 infrared pictures without a visible one',
        `    ${folder}/imagesIR/train/stray.png: no visible picture of that name`,
        '  1 of two sizes',
        `    ${folder}/images/train/00005.jpg: 48 x 48 and 40 x 30 pixels (${folder}/imagesIR/train/00005.jpg)`,
      ].join('\n'),
    ]);
    await assert.rejects(scan(folder, { strict: true }), { code: 'BAD_DATA' });
  });

  it('reports broken partners of either kind', async () => {
    const folder = copy('broken');
    writeFileSync(path.join(folder, 'imagesIR/train/00000.jpg'), 'no picture');
    const file = path.join(folder, 'images/train/00001.jpg');
    writeFileSync(file, readFileSync(file).subarray(0, 400));
    const { report } = await scan(folder);
    assert.deepEqual(report.problems, [
      { kind: 'bad-visible', file, reason: 'the file is truncated' },
      {
        kind: 'bad-infrared',
        file: path.join(folder, 'imagesIR/train/00000.jpg'),
        reason: 'not an image that can be decoded',
      },
    ]);
  });

  it('refuses folders that do not match', async () => {
    const folder = copy('unmatched');
    rmSync(path.join(folder, 'imagesIR'), { recursive: true });
    await assert.rejects(scan(folder), {
      code: 'BAD_DATA',
      message: [
        'train: 20 of 20 pairs cannot be used',
        '  20 without an infrared picture',
        ...[0, 1, 2].map(
          (i) => `    ${folder}/images/train/0000${i}.jpg: there is no ${folder}/imagesIR/train/0000${i}.jpg`,
        ),
        '    … and 17 more',
      ].join('\n'),
      hint: 'both pictures of a pair have the same relative path and size; up to a tenth of bad pairs are skipped without strict=true',
    });
    renameSync(path.join(folder, 'images'), path.join(folder, 'pictures'));
    const yaml = readFileSync(path.join(folder, 'data.yaml'), 'utf8');
    writeFileSync(path.join(folder, 'data.yaml'), yaml.replaceAll('images/', 'pictures/'));
    await assert.rejects(scan(folder), {
      message: `no folder of infrared pictures can be told from ${folder}/pictures/train`,
    });
  });

  it('suspects swapped modalities, and pictures that are the same twice', async () => {
    const folder = copy('swapped');
    for (const [from, to] of [
      ['images', 'x'],
      ['imagesIR', 'images'],
      ['x', 'imagesIR'],
    ] as const) {
      renameSync(path.join(folder, from), path.join(folder, to));
    }
    assert.deepEqual(pairWarnings('train', (await scan(folder)).report), [
      'train: the modalities seem to be swapped: the visible pictures are grey, the infrared ones coloured (12 pairs looked at)',
    ]);
    rmSync(path.join(folder, 'images'), { recursive: true });
    cpSync(path.join(folder, 'imagesIR'), path.join(folder, 'images'), { recursive: true });
    assert.deepEqual((await scan(folder)).report.suspicions, [
      'both pictures of a pair show the same (12 pairs looked at)',
    ]);
  });

  it('describes LLVIP, found in datasets_dir or not', async () => {
    const datasetsDir = path.join(root, 'datasets');
    mkdirSync(datasetsDir);
    const read = () => readDataYaml('llvip.yaml', { datasetsDir, cwd: root });
    await assert.rejects(read, (error: Error & { hint: string }) => {
      assert.match(
        error.message,
        /llvip\.yaml:3: there is no folder 'LLVIP'; searched: .*, .*datasets\/LLVIP$/,
      );
      assert.equal(
        error.hint,
        'get LLVIP from https://bupt-ai-cz.github.io/LLVIP/, then `mezzo convert llvip FOLDER --out DATASETS/LLVIP` and datasets_dir=DATASETS',
      );
      return true;
    });
    cpSync(path.join(root, 'llvip'), path.join(datasetsDir, 'LLVIP'), { recursive: true });
    const data = await read();
    assert.deepEqual(data.names, ['person']);
    const { images } = await scanPairs(data, 'val', once);
    assert.equal(images[2]!.infrared, path.join(datasetsDir, 'LLVIP/infrared/test/100002.jpg'));
  });

  it('is the same after LLVIP was converted', async () => {
    const out = path.join(root, 'converted');
    const written = await convertLlvipToYolo(path.join(root, 'llvip'), out);
    const boxes = (split: PairSplit) =>
      split.images.map(({ labels }) => Array.from(labels, (value) => value.toFixed(6)));
    for (const name of ['train', 'val'] as const) {
      const [before, after] = await Promise.all(
        ['llvip', 'converted'].map(async (folder) =>
          scanPairs(await readDataYaml(path.join(root, folder, 'data.yaml')), name, once),
        ),
      );
      assert.deepEqual(boxes(after!), boxes(before!));
      assert.equal(written.splits[name]!.boxes, after!.report.boxes);
    }
    assert.deepEqual(written.warnings, []);
    assert.deepEqual(readdirSync(out), ['data.yaml', 'infrared', 'labels', 'visible']);
    const missing = path.join(root, 'yolofuse');
    await assert.rejects(convertLlvipToYolo(missing, path.join(root, 'never')), {
      code: 'BAD_DATA',
      message: `there is no folder ${missing}/visible/train`,
      hint: 'name the folder that holds visible, infrared and Annotations',
    });
  });

  it('takes part of a list of pairs, and remembers what it found', async () => {
    mkdirSync(path.join(root, 'home'));
    process.env.MEZZO_HOME = path.join(root, 'home');
    const folder = copy('part');
    const { images } = await scan(folder, { fraction: 0.25, classes: [0] });
    assert.equal(images.length, 5);
    assert.ok(images.every(({ labels }) => labels.every((value, i) => i % 5 > 0 || value === 0)));
  });
});
