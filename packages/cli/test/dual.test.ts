/** The commands for pairs, as a user types them. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { mezzo, type Outcome } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-dual-'));
const best = join('runs', 'fuse', 'train', 'weights', 'best.safetensors');
after(() => rmSync(folder, { recursive: true }));

/** Options of a training of one step. */
const QUICK = 'epochs=1 workers=0 amp=fp32 val=false plots=false save=false check=false'.split(' ');

/** Runs a command in the folder of this file. */
const here = (...words: string[]): Promise<Outcome> => mezzo(words, { OMP_NUM_THREADS: '1' }, folder);

/** As {@link here}; it must succeed. */
async function well(...words: string[]): Promise<Outcome> {
  const outcome = await here(...words);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

before(async () => {
  const { stdout } = await well('data', 'night', '--out', 'night', 'pairs=6', 'imgsz=64');
  assert.ok(stdout.endsWith(`Train on them: mezzo train-dual data=${join(folder, 'night', 'data.yaml')}\n`));
  const words = '--batch 2 --epochs 1 --data night/data.yaml --fusion mid --imgsz 64 --workers 0 --amp fp32';
  const trained = await well('train-dual', ...words.split(' '));
  assert.match(trained.stdout, /^Model: mid-yolo11n, 1,185,126 parameters/m);
  assert.match(trained.stdout, /^Data: .*, 5 training pairs, 1 to validate, 2 classes$/m);
});

test('train-dual: the run goes to runs/fuse, with pictures', () => {
  for (const file of ['args.yaml', 'results.csv', 'train_batch0.jpg', 'val_batch0_pred.jpg']) {
    assert.ok(existsSync(join(folder, 'runs', 'fuse', 'train', file)), file);
  }
});

test('val-dual measures on the data of the training', async () => {
  const { stdout } = await well('val-dual', `model=${best}`, 'imgsz=64', 'workers=0', '--json');
  const summary = JSON.parse(stdout);
  assert.equal(summary.saveDir, join(folder, 'runs', 'fuse', 'val'));
  assert.equal(typeof summary.map50, 'number');
});

const FASTER =
  'AMP makes training faster; for faster predictions: half=true, or mezzo export and a run time for ONNX\n';

test('infer-dual: pictures go to runs/predict/exp; a missing partner is told, and named in the JSON', async () => {
  const { stderr } = await well('infer-dual', `model=${best}`, 'source=night/images/train', 'imgsz=64');
  assert.ok(stderr.endsWith(FASTER) && !stderr.includes('zeros'), stderr);
  assert.equal(readdirSync(join(folder, 'runs', 'predict', 'exp')).length, 5);
  cpSync(join(folder, 'night', 'imagesIR', 'train', '00001.jpg'), join(folder, 'ir', '00001.jpg'));
  const missing = await well(
    ...[
      'infer-dual',
      `model=${best}`,
      'source=night/images/train',
      'source-ir=ir',
      'imgsz=64',
      '--json',
      'half=true',
    ],
  );
  assert.ok(
    missing.stderr.endsWith(
      '4 of 5 pairs have no infrared picture (00000.jpg, 00002.jpg, 00003.jpg, …): its channels are zeros\n',
    ),
    missing.stderr,
  );
  assert.deepEqual(
    missing.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).infrared),
    [null, 'ir/00001.jpg', null, null, null],
  );
});

const PAIRS_HINT =
  'hint:  both pictures of a pair have the same relative path and size; up to a tenth of bad pairs are skipped without strict=true\n';

test('train-dual pretrained=: weights of one stream go into both, with the report; swapped sensors are suspected', async () => {
  await well('export', 'model=yolo11n', 'format=safetensors', 'out=one.safetensors');
  cpSync(join(folder, 'night', 'images'), join(folder, 'swapped', 'imagesIR'), { recursive: true });
  cpSync(join(folder, 'night', 'imagesIR'), join(folder, 'swapped', 'images'), { recursive: true });
  for (const name of ['labels', 'data.yaml'])
    cpSync(join(folder, 'night', name), join(folder, 'swapped', name), { recursive: true });
  const words =
    'train-dual data=swapped/data.yaml fusion=decision pretrained=one.safetensors imgsz=64 batch=5';
  const { stdout, stderr } = await well(...words.split(' '), ...QUICK);
  assert.match(`${stdout}${stderr}`, /^Transferred 895\/997 items from pretrained weights$/m);
  assert.ok(
    `${stdout}${stderr}`.includes(
      'train: the modalities seem to be swapped: the visible pictures are grey, the infrared ones coloured (5 pairs looked at)\n',
    ),
    stderr,
  );
});

test('what cannot be: a network of one stream, pictures without names in common, no data', async () => {
  cpSync(join(folder, 'night', 'imagesIR', 'train', '00001.jpg'), join(folder, 'other', 'view.jpg'));
  cpSync(join(folder, 'night'), join(folder, 'torn'), { recursive: true });
  for (const name of ['00000', '00001']) rmSync(join(folder, 'torn', 'imagesIR', 'train', `${name}.jpg`));
  cpSync(join(folder, 'night'), join(folder, 'uneven'), { recursive: true });
  const uneven = (name: string) => join(folder, 'uneven', 'imagesIR', 'train', `${name}.jpg`);
  writeFileSync(uneven('00000'), 'no picture');
  await well('data', 'night', '--out', 'large', 'pairs=5', 'imgsz=80');
  cpSync(join(folder, 'large', 'imagesIR', 'train', '00001.jpg'), uneven('00001'));
  const refused: [words: string[], message: string][] = [
    [
      ['train-dual', 'data=night/data.yaml', 'fusion=middle'],
      "error: unknown fusion 'middle'; did you mean 'mid'?\n",
    ],
    [
      ['infer-dual', 'model=yolo11n', 'source=night/images/val'],
      'error: yolo11n is a network of one stream: it takes no pairs\n',
    ],
    [
      ['infer-dual', `model=${best}`, 'source=night/images/train', 'source-ir=other'],
      'error: no picture of source-ir has the name of one of source: view.jpg, 00000.jpg\n',
    ],
    [
      ['train-dual', 'data=torn/data.yaml', 'imgsz=64'],
      [
        'error: train: 2 of 5 pairs cannot be used',
        '  2 without an infrared picture',
        ...['00000', '00001'].map(
          (name) =>
            `    ${folder}/torn/images/train/${name}.jpg: there is no ${folder}/torn/imagesIR/train/${name}.jpg`,
        ),
        PAIRS_HINT,
      ].join('\n'),
    ],
    [
      ['train-dual', 'data=uneven/data.yaml', 'imgsz=64'],
      [
        'error: train: 2 of 5 pairs cannot be used',
        '  1 with an infrared picture that cannot be used',
        `    ${folder}/uneven/imagesIR/train/00000.jpg: not an image that can be decoded`,
        '  1 of two sizes',
        `    ${folder}/uneven/images/train/00001.jpg: 64 x 64 and 80 x 80 pixels (${folder}/uneven/imagesIR/train/00001.jpg)`,
        PAIRS_HINT,
      ].join('\n'),
    ],
    [
      ['infer-dual', `model=${best}`, 'source=uneven/images/train/00001.jpg'],
      `error: ${folder}/uneven/imagesIR/train/00001.jpg has 80 x 80 pixels, uneven/images/train/00001.jpg 64 x 64\nhint:  both pictures of a pair have the same size\n`,
    ],
    [
      ['infer-dual', `model=${best}`, 'source=uneven/images/train/00000.jpg'],
      `error: ${folder}/uneven/imagesIR/train/00000.jpg: not an image that can be decoded\nhint:  open it in an image viewer and save it again as JPEG or PNG, or remove it\n`,
    ],
    [
      ['train-dual', 'data=night/data.yaml', 'model=one.safetensors'],
      'error: one is a network of one stream: it takes no pairs\nhint:  pretrained=one.safetensors loads its weights into both streams of a network that model names: model=yolo11n, fusion=mid, …\n',
    ],
    [['train-dual'], 'error: data= is missing: the data.yaml that names the images and classes\n'],
  ];
  for (const [words, message] of refused) {
    const { code, stderr } = await here(...words);
    assert.equal(code, 2, words.join(' '));
    assert.ok(stderr.includes(message), stderr);
  }
});
