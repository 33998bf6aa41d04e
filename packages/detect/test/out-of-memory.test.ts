import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { memory } from '@mezzo/torch';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { EpochEvent, RecoveryEvent, TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { OutOfMemoryError, reduce } from '../src/engine/out-of-memory.ts';
import { inBatchesOf, START } from '../src/engine/position.ts';
import { generateShapes, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-memory-'));
const MIB = 2 ** 20;

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 16, val: 2, imgsz: 128, seed: 1 }));
after(() => rmSync(folder, { recursive: true, force: true }));

async function train(name: string, extra: TrainOptions, onEvent?: (event: TrainEvent) => void) {
  const events: TrainEvent[] = [];
  await withoutGarbage();
  const model = await YOLO.load('yolov8n');
  await model.train({
    data: path.join(folder, 'shapes', 'data.yaml'),
    project: folder,
    name,
    epochs: 2,
    imgsz: 128,
    workers: 1,
    nbs: 8,
    warmup_epochs: 0,
    plots: false,
    val: false,
    device: 'cpu',
    amp: 'fp32',
    verbose: false,
    ...extra,
    onEvent: (event) => {
      events.push(event);
      onEvent?.(event);
    },
  });
  return events;
}

/** Frees what earlier runs left behind: finalizers run when the event loop turns. */
async function withoutGarbage(): Promise<void> {
  memory.collectGarbage();
  await setTimeout(20);
  memory.collectGarbage();
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');
const peakOf = (events: readonly TrainEvent[]) =>
  Math.max(...events.filter((event): event is EpochEvent => event.event === 'epoch').map((e) => e.peakBytes));
const recoveries = (events: readonly TrainEvent[]) =>
  events.filter((event): event is RecoveryEvent => event.event === 'recovery');

async function withLimit<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  memory.setLimit(bytes);
  try {
    return await work();
  } finally {
    memory.setLimit(0);
  }
}

test('out of memory in the first epoch halves the batch, and the run is the one of that batch, bit for bit', async () => {
  const small = peakOf(await train('small', { batch: 4, imgsz: 160 }));
  const large = peakOf(await train('large', { batch: 8, imgsz: 160, epochs: 1 }));
  assert.ok(large > small + 10 * MIB, `${large} against ${small}`);
  const events = await withLimit((small + large) / 2, () => train('halved', { batch: 8, imgsz: 160 }));
  const [recovery, ...more] = recoveries(events);
  assert.deepEqual(more, []);
  assert.deepEqual(
    { ...recovery, report: '' },
    {
      event: 'recovery',
      cause: 'memory',
      epoch: 1,
      from: 1,
      attempt: 1,
      attempts: 3,
      changes: { batch: 4 },
      culprits: [],
      files: [],
      report: '',
    },
  );
  assert.match(
    recovery!.report,
    /^Out of memory in the first epoch \(CPU out of memory: \d+ bytes wanted, \d+ in use, limit \d+\): batch 8 → 4, gradients of 2 batches are added up instead of 1 \(an optimizer step sees 8 pictures, before 8\); the run begins anew$/,
  );
  const [reference, halved] = [await readCheckpoint(last('small')), await readCheckpoint(last('halved'))];
  equalTensors(halved.training!.live, reference.training!.live);
  equalTensors(halved.weights, reference.weights);
  assert.deepEqual(halved.training!.state.random, reference.training!.state.random);
  assert.equal(halved.training!.state.steps, reference.training!.state.steps);
  assert.equal(halved.training!.state.settings.batch, 4);
  assert.match(readFileSync(path.join(folder, 'halved', 'args.yaml'), 'utf8'), /^batch: 4$/m);
  const logged = readEvents(path.join(folder, 'halved', 'events.jsonl'));
  assert.deepEqual(
    logged.find(({ event }) => event === 'recovery'),
    { ...recovery },
  );
});

test('out of memory later is an error with the checkpoint and three remedies, and one of them goes on', async () => {
  const lower = (event: TrainEvent) => {
    if (event.event === 'epoch' && event.epoch === 1) memory.setLimit(memory.stats().liveBytes + 8 * MIB);
  };
  // A limit that is there from the start is the user's, and stays.
  const error = await withLimit(2 ** 40, () =>
    train('later', { batch: 8, epochs: 3, fraction: 0.5 }, lower),
  ).then(
    () => assert.fail('it ran through'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof OutOfMemoryError);
  assert.equal(error.code, 'OUT_OF_MEMORY');
  assert.equal(error.checkpoint, last('later'));
  assert.match(
    error.message,
    /^out of memory in epoch 2 of 3: CPU out of memory: \d+ bytes wanted, \d+ in use, limit \d+$/,
  );
  const size = String.raw`(\d+ MiB|\d+\.\d\d GiB)`;
  assert.equal(error.remedies.length, 3);
  assert.match(error.remedies[0]!, new RegExp(`^batch=4: about ${size} instead of more than ${size}$`));
  assert.match(error.remedies[1]!, new RegExp(`^imgsz=96: about ${size} instead of more than ${size}$`));
  assert.match(
    error.remedies[2]!,
    new RegExp(`^a new run from its weights with amp=bf16: about ${size} instead of more than ${size}$`),
  );
  assert.equal(
    error.hint,
    `go on with: mezzo train resume=${last('later')}, and one of these, so that it takes less:\n  ${error.remedies.join('\n  ')}`,
  );
  const events = await train('unused', { resume: last('later'), batch: 4 });
  const epochs = events.filter((event) => event.event === 'epoch');
  assert.deepEqual(
    epochs.map(({ epoch }) => epoch),
    [2, 3],
  );
  // Two batches of four pictures make an optimizer step of eight: none is left out for the change.
  const { state } = (await readCheckpoint(last('later'))).training!;
  assert.ok(state.steps >= 3, `${state.steps} steps`);
});

test('the host gives up workers and kept images first, then the batch three times, then the run', async () => {
  const told: TrainEvent[] = [];
  await withoutGarbage();
  const failed = await withLimit(memory.stats().liveBytes + 45 * MIB, () =>
    train('hopeless', { batch: 16, workers: 3, cache: 'ram', imgsz: 256 }, (event) => told.push(event)),
  ).then(
    () => assert.fail('it ran through'),
    (error: unknown) => error,
  );
  assert.ok(failed instanceof OutOfMemoryError);
  assert.match(
    failed.message,
    /^out of memory in epoch 1 of 2, after 3 smaller batches: CPU out of memory: /,
  );
  assert.equal(failed.checkpoint, null);
  assert.deepEqual(
    recoveries(told).map(({ changes, attempt }) => ({ ...changes, attempt })),
    [
      { workers: 1, cache: false, attempt: 0 },
      { batch: 8, attempt: 1 },
      { batch: 4, attempt: 2 },
      { batch: 2, attempt: 3 },
    ],
  );
});

test('a position in batches of another size: as many pictures done, and no step that lies ahead', () => {
  const at = { ...START, epochs: 9, epoch: 2, batch: 6, lastStep: 45 };
  const sizes = { before: 8, now: 16, batches: 10 };
  assert.deepEqual(inBatchesOf(at, sizes), { ...at, batch: 3, lastStep: 22 });
  assert.deepEqual(inBatchesOf(at, { before: 8, now: 4, batches: 40 }), { ...at, batch: 12 });
  assert.deepEqual(inBatchesOf(at, { ...sizes, now: 8 }), { ...at, lastStep: 25 });
});

test('what makes a run smaller, by what it has', () => {
  const settings = { batch: 5, nbs: 64, workers: 1, cache: false } as const;
  const host = { onHost: true, mayHalve: true };
  assert.deepEqual(reduce(settings, host), {
    changes: { batch: 2 },
    halved: true,
    text: 'batch 5 → 2, gradients of 32 batches are added up instead of 13 (an optimizer step sees 64 pictures, before 65)',
  });
  assert.deepEqual(reduce({ ...settings, workers: 8 }, host), {
    changes: { workers: 1 },
    halved: false,
    text: 'workers 8 → 1',
  });
  // The GPU's memory does not hold them.
  assert.equal(reduce({ ...settings, workers: 8 }, { ...host, onHost: false })?.halved, true);
  assert.equal(reduce({ ...settings, batch: 1 }, host), null);
  assert.equal(reduce(settings, { ...host, mayHalve: false }), null);
});
