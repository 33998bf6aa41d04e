import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { noGrad } from '@mezzo/torch';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { RecoveryEvent, TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { openModel } from '../src/engine/model-source.ts';
import { NonFiniteError } from '../src/engine/non-finite.ts';
import { scheduleOfRollback, seedOfRollback } from '../src/engine/rollback.ts';
import { trainDetector } from '../src/engine/train-detector.ts';
import { generateShapes, type TrainOptions, type WindowObserver } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-rollback-'));

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 8, val: 2, imgsz: 64, seed: 1 }));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Ruins a weight after the last window of an epoch, so many times in all. */
function ruin(
  epoch: number,
  times: number,
): (run: Parameters<NonNullable<Observers>>[0]) => WindowObserver[] {
  let left = times;
  return ({ model }) => [
    {
      name: 'ruin',
      afterWindow: (_, context) => {
        if (context.epoch !== epoch || left === 0) return;
        left -= 1;
        const [weight] = model.parameters();
        noGrad(() => weight!.narrow(0, 0, 1).fill_(Number.NaN));
      },
    },
  ];
}
type Observers = Parameters<typeof trainDetector>[0]['observers'];

async function train(name: string, observers?: Observers, extra: TrainOptions = {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  await trainDetector({
    source: await openModel('yolov8n'),
    options: {
      data: path.join(folder, 'shapes', 'data.yaml'),
      project: folder,
      name,
      epochs: 3,
      imgsz: 64,
      batch: 8,
      nbs: 8,
      workers: 1,
      plots: false,
      val: false,
      device: 'cpu',
      amp: 'fp32',
      verbose: false,
      ...extra,
    },
    emit: (event) => events.push(event),
    ...(observers ? { observers } : {}),
  });
  return events;
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');
const recoveries = (events: readonly TrainEvent[]) =>
  events.filter((event): event is RecoveryEvent => event.event === 'recovery');

test('weights that are ruined once: the run goes back to the last checkpoint, on another way, the same each time', async () => {
  const events = await train('once', ruin(2, 1));
  const [recovery, ...more] = recoveries(events);
  assert.deepEqual(more, []);
  const { report, files, ...rest } = recovery!;
  assert.deepEqual(rest, {
    event: 'recovery',
    cause: 'non-finite',
    epoch: 2,
    from: 2,
    attempt: 1,
    attempts: 3,
    changes: { learningRate: 1 },
    culprits: ['model.0.conv.weight'],
  });
  assert.equal(files.length, 8);
  const names = files.slice(0, 4).map((file) => path.basename(file));
  assert.equal(
    report,
    'Epoch 2 of 3: the weights are not finite in model.0.conv\n' +
      `  pictures of the last batch: ${names.join(', ')} and 4 more\n` +
      '  going back to the end of epoch 1 (1 of 3), with another order of the pictures',
  );
  const epochs = events.filter((event) => event.event === 'epoch');
  assert.deepEqual(
    epochs.map(({ epoch }) => epoch),
    [1, 2, 3],
  );
  const logged = readEvents(path.join(folder, 'once', 'events.jsonl'));
  assert.deepEqual(
    logged.filter(({ event }) => event === 'epoch' || event === 'recovery').map(({ event }) => event),
    ['epoch', 'recovery', 'epoch', 'epoch'],
  );

  await train('again', ruin(2, 1));
  await train('whole');
  const [once, again, whole] = [
    await readCheckpoint(last('once')),
    await readCheckpoint(last('again')),
    await readCheckpoint(last('whole')),
  ];
  equalTensors(once.training!.live, again.training!.live);
  assert.equal(once.training!.state.rollbacks, 1);
  assert.equal(whole.training!.state.rollbacks, 0);
  // Not the way of the run that was not ruined: the same pictures in another order, with other augmentation.
  const [a, b] = [once, whole].map(({ training }) => training!.live['model.0.conv.weight']!) as [
    never,
    never,
  ];
  assert.equal((a as { equal(other: unknown): boolean }).equal(b), false);
});

test('weights that are ruined again and again: three rollbacks, then an error with all that was tried', async () => {
  const error = await train('always', ruin(2, 10)).then(
    () => assert.fail('it ran through'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NonFiniteError);
  assert.equal(error.code, 'NON_FINITE');
  assert.deepEqual(error.culprits, ['model.0.conv.weight']);
  const tried = error.message.split('\n').filter((line) => /going back/.test(line));
  assert.deepEqual(
    tried.map((line) => line.trim()),
    [
      'going back to the end of epoch 1 (1 of 3), with another order of the pictures',
      'going back to the end of epoch 1 (2 of 3), with another order of the pictures and 0.5 of the learning rate',
      'going back to the end of epoch 1 (3 of 3), with another order of the pictures and 0.25 of the learning rate',
    ],
  );
  // The checkpoint is the good one still.
  assert.equal((await readCheckpoint(last('always'))).training!.state.epoch, 1);
});

test('in the first epoch the run begins anew with the same weights; without checkpoints there is no way back later', async () => {
  const [recovery] = recoveries(await train('first', ruin(1, 1), { epochs: 1 }));
  assert.match(
    recovery!.report,
    /going back to the beginning \(1 of 3\), with another order of the pictures$/,
  );
  await assert.rejects(train('unsaved', ruin(2, 1), { save: false }), (error: unknown) => {
    assert.ok(error instanceof NonFiniteError);
    assert.equal(
      error.message,
      'the weights are not finite in model.0.conv\nsave=false: there is no checkpoint to go back to',
    );
    return true;
  });
});

test('a rollback changes the seed of the data and, from the second on, the learning rate', () => {
  assert.equal(seedOfRollback(7, 0), 7);
  assert.equal(new Set([0, 1, 2, 3].map((n) => seedOfRollback(7, n))).size, 4);
  assert.ok(Number.isSafeInteger(seedOfRollback(Number.MAX_SAFE_INTEGER, 3)));
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => scheduleOfRollback(n).rate),
    [1, 1, 0.5, 0.25],
  );
});
