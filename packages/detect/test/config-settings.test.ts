import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  GROUPS,
  nearestNames,
  OPTIONS,
  type PredictOptions,
  resolveSettings,
  type TrainOptions,
  type TrainSettings,
  type ValSettings,
} from '../src/config/index.ts';
import { configurationReference } from '../src/config/reference.ts';

test('without options every setting is a default, and 8.4 is the recipe', () => {
  const settings = resolveSettings('train', {});
  assert.equal(settings.epochs, 100);
  assert.equal(settings.amp, true);
  assert.equal(settings.model, 'yolov8n');
  assert.equal(settings.inflate, 16);
  assert.equal(settings.warmup_rule, 'epochs');
  assert.ok(Object.isFrozen(settings));
});

test('the recipe sets its switches, and a switch given alone stays', () => {
  const { warmup_rule, inflate, box_bias, match, ap_end, edges, box_gain, fitness } = resolveSettings(
    'train',
    {
      recipe: '8.3',
      match: 'confidence',
    },
  );
  assert.deepEqual(
    { warmup_rule, inflate, box_bias, match, ap_end, edges, box_gain, fitness },
    {
      warmup_rule: 'floor100',
      inflate: 0,
      box_bias: 1,
      match: 'confidence',
      ap_end: 'slope',
      edges: 'cut',
      box_gain: 'single',
      fitness: 'weighted',
    },
  );
});

test('commands have their own defaults', () => {
  assert.equal(resolveSettings('val', {}).conf, 0.001);
  assert.equal(resolveSettings('predict', {}).conf, 0.25);
  assert.equal(resolveSettings('val', {}).rect, true);
  assert.equal(resolveSettings('val', { rect: false }).rect, false);
});

test('values of programs are checked like words of a command line', () => {
  const wrong = (options: object) => () => resolveSettings('train', options as TrainOptions);
  assert.throws(wrong({ closeMosaic: 3 }), {
    name: 'ConfigError',
    code: 'UNKNOWN_OPTION',
    message: "unknown option 'closeMosaic'; did you mean 'close_mosaic'?",
  });
  assert.throws(wrong({ epochs: '3' }), {
    code: 'BAD_OPTION',
    message: 'epochs=3: expected a whole number of at least 1',
  });
  assert.throws(wrong({ toString: 1 }), { code: 'UNKNOWN_OPTION' });
  assert.throws(wrong({ copy_paste: 0.1 }), {
    code: 'UNSUPPORTED_OPTION',
    message: 'copy_paste=0.1: copying objects needs masks, and Mezzo trains on boxes',
    hint: 'leave copy_paste out',
  });
  assert.deepEqual(
    resolveSettings('train', { epochs: undefined, batch: null }),
    resolveSettings('train', {}),
  );
});

test('a batch chosen from the memory is for those who train and check', () => {
  assert.equal(resolveSettings('train', { batch: -1 }).batch, -1);
  assert.equal(resolveSettings('check', { batch: 0.7 }).batch, 0.7);
  for (const batch of [0, 1.5, -2]) {
    assert.throws(() => resolveSettings('train', { batch }), {
      code: 'BAD_OPTION',
      message: `batch=${batch}: expected a whole number of at least 1, or -1 or a part such as 0.7`,
    });
  }
  assert.throws(() => resolveSettings('val', { batch: -1 }), {
    code: 'BAD_OPTION',
    message: 'batch=-1 is understood by mezzo train and mezzo check; mezzo val takes a number',
  });
});

test('the types follow the table', () => {
  const options: TrainOptions = {
    epochs: 3,
    amp: 'bf16',
    device: 0,
    freeze: [1, 2],
    imgsz: [640, 640],
    data: null,
  };
  // @ts-expect-error no such choice
  options.amp = 'bf17';
  // @ts-expect-error an option of predict
  options.source = 'a.jpg';
  // @ts-expect-error refused, so it is no key
  options.copy_paste = 0.1;
  const predict: PredictOptions = { classes: 3 };
  const settings = resolveSettings('train', { epochs: 3 });
  const exact: Pick<TrainSettings, 'epochs' | 'amp' | 'time' | 'recipe' | 'inflate' | 'model'> = settings;
  const time: number | null = settings.time;
  const inflate: number = settings.inflate;
  const conf: number = resolveSettings('val', {}).conf satisfies ValSettings['conf'];
  // @ts-expect-error settings do not change
  assert.throws(() => (settings.epochs = 4), TypeError);
  assert.deepEqual([exact.epochs, time, inflate, conf, predict.classes], [3, null, 16, 0.001, 3]);
});

test('every row is consistent', () => {
  const words = new Set<string>();
  for (const { options } of GROUPS) {
    for (const [name, option] of Object.entries(options)) {
      for (const word of [name, ...(option.aliases ?? []), ...(option.negations ?? [])]) {
        assert.match(word, /^[a-z][a-z0-9_]*$/);
        assert.ok(!words.has(word), `${word} is spelled twice`);
        words.add(word);
      }
      if (option.refused === undefined) assert.match(option.help, /^\S.*[^.]$/, name);
      else assert.match(option.refused, /^\S.*[^.]$/, name);
      assert.equal(option.type.includes('choice'), option.choices !== undefined, name);
      if (option.recipe !== undefined) assert.equal(option.default, null, name);
    }
  }
  assert.equal(Object.keys(OPTIONS).length, GROUPS.flatMap(({ options }) => Object.keys(options)).length);
});

test('defaults pass their own checks', () => {
  for (const command of ['train', 'val', 'predict'] as const) {
    const settings = resolveSettings(command, {});
    assert.deepEqual(resolveSettings(command, settings as object), settings);
  }
});

test('docs/configuration.md is what the table says (npm run docs writes it)', () => {
  const page = readFileSync(new URL('../../../../docs/configuration.md', import.meta.url), 'utf8');
  assert.equal(page, configurationReference());
});

test('nearest names: few edits, swapped letters, beginnings and parts', () => {
  const names = ['epochs', 'close_mosaic', 'mosaic', 'momentum', 'batch', 'patience'];
  assert.deepEqual(nearestNames('epoch', names), ['epochs']);
  assert.deepEqual(nearestNames('btach', names), ['batch']);
  assert.deepEqual(nearestNames('mosaics', names), ['mosaic']);
  assert.deepEqual(nearestNames('close', names), ['close_mosaic']);
  assert.deepEqual(nearestNames('mom', names), ['momentum']);
  assert.deepEqual(nearestNames('xyz', names), []);
});
