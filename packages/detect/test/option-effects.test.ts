/**
 * Every option of the train command does what it says: a table of values and of what they change. The last test fails
 * for an option that is in no row.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { didYouMean } from '@mezzo/libtorch/nearest';
import sharp from 'sharp';
import { OPTIONS, resolveSettings } from '../src/config/index.ts';
import { appliesTo } from '../src/config/options.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { generateNight, generateShapes, type TrainOptions, YOLO } from '../src/index.ts';
import { ELSEWHERE, effects, type Row, weights } from './option-effects.ts';
import { scratchFolder, write } from './scratch.ts';
import { type Prepared, prepareTiny, tinyDual, tinyNetwork } from './tiny-run.ts';

process.env.OMP_NUM_THREADS = '1';

const folder = scratchFolder();
const model = tinyNetwork(folder);
const data = path.join(folder, 'shapes', 'data.yaml');

const STILL: TrainOptions = {
  hsv_h: 0,
  hsv_s: 0,
  hsv_v: 0,
  translate: 0,
  scale: 0,
  fliplr: 0,
  mosaic: 0,
};
const BASE: TrainOptions = {
  ...STILL,
  data,
  project: folder,
  epochs: 4,
  imgsz: 64,
  batch: 2,
  workers: 2,
  device: 'cpu',
  amp: 'fp32',
  optimizer: 'SGD',
};

before(async () => {
  await generateShapes({ out: path.join(folder, 'shapes'), train: 6, val: 2, imgsz: 96, seed: 3 });
  await generateNight({ out: path.join(folder, 'night'), train: 6, val: 2, imgsz: 64, seed: 3 });
  // Pictures of several forms.
  for (const [i, [width, height]] of [
    [96, 48],
    [48, 96],
  ].entries()) {
    const create = { width: width!, height: height!, channels: 3 as const, background: '#808080' };
    mkdirSync(path.join(folder, 'forms', 'images'), { recursive: true });
    await sharp({ create })
      .png()
      .toFile(path.join(folder, 'forms', 'images', `${i}.png`));
    write(folder, `forms/labels/${i}.txt`, '0 0.5 0.5 0.5 0.5\n');
  }
  write(folder, 'forms/data.yaml', 'train: images\nval: images\nnames: [thing]\n');
});

const prepare = (options: TrainOptions) => prepareTiny(model, { ...BASE, ...options });

const TABLES = effects(
  path.join(folder, 'forms', 'data.yaml'),
  path.join(folder, 'night', 'data.yaml'),
  tinyDual(folder),
);

/** Runs to compare with, by their options. */
const prepared = new Map<string, Promise<Prepared>>();

function prepareOnce(options: TrainOptions): Promise<Prepared> {
  const key = JSON.stringify(options);
  const known = prepared.get(key) ?? prepare(options);
  prepared.set(key, known);
  return known;
}

async function checkRow(row: Row): Promise<void> {
  const before = await prepareOnce(row.with ?? {});
  const after = await prepare({ ...row.with, ...row.set });
  const [seenBefore, seenAfter] = [await row.look(before), await row.look(after)];
  assert.notDeepEqual(seenAfter, seenBefore, 'nothing changed');
  if (row.see !== undefined) assert.deepEqual(seenAfter, row.see);
}

for (const [title, rows] of Object.entries(TABLES)) {
  describe(title, () => {
    for (const [name, row] of Object.entries(rows)) test(name, () => checkRow(row));
  });
}

/** A whole run of few steps. */
async function train(options: TrainOptions, stop?: (event: TrainEvent) => boolean) {
  const events: TrainEvent[] = [];
  const controller = new AbortController();
  const network = await YOLO.load(options.model ?? model);
  const report = await network.train({
    ...BASE,
    ...options,
    signal: controller.signal,
    onEvent: (event) => {
      events.push(event);
      if (stop?.(event)) controller.abort();
    },
  });
  const files = readdirSync(report.saveDir!, { recursive: true, encoding: 'utf8' });
  return { events, files, saveDir: report.saveDir! };
}

const epochsOf = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.event === 'epoch' ? [event] : []));

/** Options whose effect is a whole run's, or that of finding things: each by the test that shows it. */
const RUN_TESTS: Record<string, readonly string[]> = {};

function runTest(options: readonly string[], what: string, body: () => Promise<void>): void {
  for (const option of options) RUN_TESTS[option] = [...(RUN_TESTS[option] ?? []), what];
  test(`${options.join(', ')}: ${what}`, body);
}

describe('runs', () => {
  const short: TrainOptions = { epochs: 2, plots: false, optimizer: 'SGD', nbs: 2 };

  runTest(
    ['epochs', 'save_period', 'plots', 'val', 'project', 'name', 'exist_ok', 'save', 'verbose'],
    'how often, and what is left where',
    async () => {
      const first = await train({ ...short, epochs: 3, save_period: 2, name: 'kept', val: false });
      assert.equal(first.saveDir, path.join(folder, 'kept'));
      assert.deepEqual(
        epochsOf(first.events).map(({ images }) => images),
        [0, 0, 2],
      );
      assert.deepEqual(
        readdirSync(path.join(first.saveDir, 'weights'))
          .filter((file) => file.endsWith('.safetensors'))
          .sort(),
        ['best.safetensors', 'epoch2.safetensors', 'last.safetensors'],
      );
      assert.ok(!first.files.some((file) => /\.(png|jpg)$/.test(file)), String(first.files));

      const again = await train({
        ...short,
        epochs: 1,
        name: 'kept',
        plots: true,
        save: false,
        verbose: false,
      });
      assert.equal(again.saveDir, path.join(folder, 'kept2'));
      assert.deepEqual(
        epochsOf(again.events).map(({ images }) => images),
        [2],
      );
      assert.ok(
        ['labels.jpg', 'train_batch0.jpg', 'results.png'].every((file) => again.files.includes(file)),
      );
      assert.ok(!again.files.some((file) => file.endsWith('.safetensors')));
      const other = path.join(folder, 'elsewhere');
      const third = await train({ ...short, epochs: 1, name: 'kept', project: other, exist_ok: true });
      const fourth = await train({ ...short, epochs: 1, name: 'kept', project: other, exist_ok: true });
      assert.deepEqual([third.saveDir, fourth.saveDir], [path.join(other, 'kept'), path.join(other, 'kept')]);
    },
  );

  runTest(['patience', 'time'], 'when it ends early', async () => {
    // Nothing is ever found, and every tie is the best.
    const timed = await train({ ...short, epochs: 50, time: 1e-6, val: false });
    assert.equal(epochsOf(timed.events).length, 1);
    const [done] = timed.events.filter((event) => event.event === 'done');
    assert.equal(done?.stopped, 'time');
  });

  runTest(['close_mosaic'], 'the last epochs join no images', async () => {
    const closed = await train({ ...short, mosaic: 1, close_mosaic: 1 });
    const texts = closed.events.flatMap((event) => (event.event === 'message' ? [event.text] : []));
    assert.ok(texts.includes('Closing dataloader mosaic'), String(texts));
    const open = await train({ ...short, mosaic: 1, close_mosaic: 0 });
    const losses = (run: { events: TrainEvent[] }) => epochsOf(run.events).map((epoch) => epoch.losses);
    assert.deepEqual(losses(closed)[0], losses(open)[0]);
    assert.notDeepEqual(losses(closed)[1], losses(open)[1]);
  });

  runTest(['resume', 'model', 'pretrained'], 'where a run begins', async () => {
    const interrupted = train(
      { ...short, name: 'resumed' },
      (event) => event.event === 'step' && event.step === 1,
    );
    await assert.rejects(interrupted, { code: 'INTERRUPTED' });
    const last = path.join(folder, 'resumed', 'weights', 'last.safetensors');
    const rest = await train({ resume: last, model });
    assert.deepEqual(
      epochsOf(rest.events).map(({ epoch }) => epoch),
      [1, 2],
    );
    const options = (pretrained: string | boolean) => prepareTiny(last, { ...BASE, pretrained });
    const [taken, fresh] = [await options(true), await options(false)];
    assert.equal(taken.run.model.description.layers.length, 6);
    assert.notEqual(weights(taken), weights(fresh));
    assert.equal(weights(await prepareTiny(model, { ...BASE, pretrained: last })), weights(taken));
  });

  runTest(['recorder', 'check'], 'what looks at a run', async () => {
    const file = path.join(folder, 'recorded.bin');
    const bf16: TrainOptions = { ...short, epochs: 1, amp: 'bf16', val: false };
    const unchecked = await train({ ...bf16, recorder: file, check: false });
    assert.ok(existsSync(file));
    const checked = await train(bf16);
    const said = (run: { events: TrainEvent[] }) =>
      run.events.flatMap((event) => (event.event === 'message' ? [event.text] : [])).join('\n');
    assert.notEqual(said(checked), said(unchecked));
  });
});

describe('data', () => {
  runTest(['data', 'strict', 'datasets_dir'], 'what is read, and what is refused', async () => {
    await assert.rejects(prepare({ data: null }), { code: 'NO_DATA' });
    const bad = path.join(folder, 'bad');
    await generateShapes({ out: bad, train: 3, val: 1, imgsz: 64, seed: 1 });
    const [label] = readdirSync(path.join(bad, 'labels', 'train'));
    writeFileSync(path.join(bad, 'labels', 'train', label!), '99 0.5 0.5 0.1 0.1\n');
    const { run } = await prepare({ data: path.join(bad, 'data.yaml') });
    assert.equal(run.images.train, 2);
    await assert.rejects(prepare({ data: path.join(bad, 'data.yaml'), strict: true }));
    const sets = path.join(folder, 'sets');
    mkdirSync(sets);
    renameSync(path.join(folder, 'forms'), path.join(sets, 'forms'));
    write(folder, 'named.yaml', 'path: forms\ntrain: images\nval: images\nnames: [thing]\n');
    const named = path.join(folder, 'named.yaml');
    await assert.rejects(prepare({ data: named }));
    assert.equal((await prepare({ data: named, datasets_dir: sets })).run.images.train, 2);
  });
});

test('every option of the train command has a row here, or a reason why its effect is shown elsewhere', () => {
  const accepted = Object.entries(OPTIONS)
    .filter(([, option]) => option.refused === undefined && appliesTo(option, 'train'))
    .map(([name]) => name);
  const shown = new Set([
    ...Object.values(TABLES).flatMap((rows) => Object.keys(rows)),
    ...Object.keys(RUN_TESTS),
    ...Object.keys(ELSEWHERE),
  ]);
  assert.deepEqual(
    accepted.filter((name) => !shown.has(name)),
    [],
    'options without a row',
  );
  assert.deepEqual(
    [...shown].filter((name) => !accepted.includes(name)),
    [],
    'rows without an option',
  );
});

test('what an entry of the table of effects says of other tests is true', () => {
  const tests = new URL('../../test/', import.meta.url);
  const files = readdirSync(tests);
  for (const [name, reason] of Object.entries(ELSEWHERE)) {
    for (const [file] of reason.matchAll(/[\w-]+\.test\.ts/g))
      assert.ok(files.includes(file), `${name}: ${file}`);
  }
});

test('a key that is close to an option is an error with its name, for every option', () => {
  for (const name of Object.keys(OPTIONS).filter((option) => option.length > 4)) {
    const wrong = `${name}x`;
    assert.throws(() => resolveSettings('train', { [wrong]: 1 } as TrainOptions), {
      code: 'UNKNOWN_OPTION',
      message: `unknown option '${wrong}'${didYouMean(wrong, allWords())}`,
    });
  }
});

/** Every spelling of every option. */
function allWords(): string[] {
  return Object.entries(OPTIONS).flatMap(([name, option]) => [
    name,
    ...(option.aliases ?? []),
    ...(option.negations ?? []),
  ]);
}
