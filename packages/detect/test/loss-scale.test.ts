import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { amp } from '@mezzo/torch';
import { resolveSettings } from '../src/config/index.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { buildScaler, ScaleObserver } from '../src/engine/loss-scale.ts';
import type { LossesRead } from '../src/engine/window-observer.ts';
import { choosePrecision, generateShapes, type TrainOptions, YOLO } from '../src/index.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();
const data = path.join(folder, 'shapes', 'data.yaml');

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 8, val: 2, imgsz: 32, seed: 3 }));

async function train(options: TrainOptions): Promise<{ events: TrainEvent[]; error: unknown }> {
  const events: TrainEvent[] = [];
  const model = await YOLO.load('yolov8n');
  const outcome = model.train({
    data,
    project: folder,
    epochs: 1,
    imgsz: 32,
    batch: 4,
    nbs: 4,
    workers: 1,
    device: 'cpu',
    amp: 'fp16',
    plots: false,
    ...options,
    onEvent: (event) => events.push(event),
  });
  return { events, error: await outcome.then(() => null).catch((error: unknown) => error) };
}

describe('scaler=, init_scale=, growth_interval=, scale_floor=', () => {
  const scalerOf = (options: TrainOptions, heals = false) => {
    const precision = choosePrecision('fp16', 'cpu', null);
    return buildScaler(resolveSettings('train', options), { precision, heals }, 'cpu');
  };

  test('PyTorch’s rule is on the device, with the floor of 1 that nobody needs to give', () => {
    const scaler = scalerOf({});
    const state = scaler.stateDict() as amp.GradScalerState;
    assert.equal(scaler.advancesOnHost, false);
    assert.deepEqual([state.scale, state.growth_interval, state.rule?.floor], [65536, 2000, 1]);
    const bare = scalerOf({ scale_floor: 0 }).stateDict() as amp.GradScalerState;
    assert.equal(bare.rule, undefined);
  });

  test('every rule by its name, with its own numbers unless others are given', () => {
    const numbers = (options: TrainOptions) => {
      const { scale, growth_interval } = scalerOf(options).stateDict() as amp.GradScalerState;
      return [scale, growth_interval];
    };
    assert.deepEqual(numbers({ scaler: 'keras' }), [2 ** 15, 2000]);
    assert.deepEqual(numbers({ scaler: 'deepspeed' }), [2 ** 16, 1000]);
    assert.deepEqual(numbers({ scaler: 'megatron', init_scale: 64, growth_interval: 5 }), [64, 5]);
    assert.equal(scalerOf({ scaler: 'computed' }).computed, true);
    // amp=auto computes the scale unless a rule is named.
    assert.equal(scalerOf({}, true).computed, true);
    assert.equal(scalerOf({ scaler: 'torch' }, true).computed, false);
  });

  test('a floor above the first scale is refused', () => {
    assert.throws(() => scalerOf({ init_scale: 0.5 }), {
      code: 'BAD_OPTION',
      message: 'scale_floor=1 is above the first loss scale of 0.5',
      hint: 'give a smaller scale_floor, or 0 for none',
    });
    assert.equal(scalerOf({ init_scale: 0.5, scale_floor: 0.25 }).getScale(), 0.5);
    assert.equal(scalerOf({ init_scale: 0.5, scaler: 'static' }).getScale(), 0.5);
  });

  test('a misspelled rule offers the nearest', () => {
    assert.throws(() => resolveSettings('train', { scaler: 'deepsped' as 'deepspeed' }), {
      code: 'BAD_OPTION',
      message:
        'scaler=deepsped: expected one of torch, computed, static, apex, deepspeed, megatron, keras, jmp, flax; ' +
        'did you mean deepspeed?',
    });
  });
});

test('Y12: a run whose scale reaches the floor ends in an error that names the culprits, and the scale is never 0', async () => {
  const { events, error } = await train({ name: 'floor', init_scale: 2 ** 126, scale_floor: 2 ** 125 });
  assert.ok(error instanceof amp.ScaleFloorError, String(error));
  assert.deepEqual([error.code, error.scale], ['SCALE_FLOOR', 2 ** 125]);
  assert.ok(error.culprits.length > 0 && error.culprits.every((name) => /^model\.|^loss$/.test(name)));
  const skips = events.filter(({ event }) => event === 'skip');
  assert.equal(skips.length, 2);
});

test('a loss that swings at the start of a run is told once, with the scales and the remedies', () => {
  const settings = resolveSettings('train', { amp: 'fp16' });
  const precision = choosePrecision('fp16', 'cpu', null);
  const run = {
    settings,
    scaler: buildScaler(settings, { precision, heals: false }, 'cpu'),
    optimizer: { rates: () => [0.01, 0.1, 0.01] },
  } as unknown as LossesRead['run'];
  const told: TrainEvent[] = [];
  /** Epochs of ten batches, whose sums begin anew; a resumed run goes on with what was kept. */
  const read = (observer: ScaleObserver, from: number, to: number) => {
    let sums = [0, 0, 0];
    for (let step = from; step <= to; step++) {
      if (step % 10 === 1) sums = [0, 0, 0];
      const loss = step % 8 < 4 ? 3 : 9;
      sums = sums.map((sum) => sum + loss);
      const batches = ((step - 1) % 10) + 1;
      const epoch = Math.ceil(step / 10);
      const emit = (event: TrainEvent) => told.push(event);
      observer.losses({ run, step, epoch, skipped: 0, scale: 65536, emit, sums, batches });
    }
  };
  const first = new ScaleObserver(settings);
  read(first, 1, 10);
  assert.deepEqual(told, []);
  const resumed = new ScaleObserver(settings);
  resumed.restore(JSON.parse(JSON.stringify(first.state())));
  read(resumed, 11, 60);
  assert.deepEqual(told, [
    {
      event: 'message',
      level: 'warning',
      text: [
        'the loss swings: it turned 4 times by a factor of 2 or more in steps 8 to 20, between 9.00 and 27.0',
        '  likely: no step was left out under a loss scale of 65536; the learning rate is 0.1',
        '  to do: lower lr0 or lengthen warmup_epochs; a first loss scale from 2^14 to 2^16 (init_scale=16384 or 65536), or scaler=computed, which measures it; amp=bf16 needs no loss scale where the device has it',
      ].join('\n'),
    },
  ]);
});

test('scaler=computed measures before the first step and skips none', async () => {
  const { events, error } = await train({ name: 'computed', scaler: 'computed', val: false });
  assert.equal(error, null);
  assert.deepEqual(
    events.filter(({ event }) => event === 'skip'),
    [],
  );
  const scales = events.flatMap((event) => (event.event === 'step' ? [event.scale!] : []));
  assert.equal(scales.length, 2);
  for (const scale of scales) assert.ok(Number.isInteger(Math.log2(scale)) && scale !== 65536, String(scale));
});
