import assert from 'node:assert/strict';
import { copyFileSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import type { MezzoError } from '@mezzo/torch';
import { resolveSettings } from '../src/config/index.ts';
import { generateShapes, type TrainOptions } from '../src/index.ts';
import { requireShareable } from '../src/ranks/requirements.ts';
import { trainInRanks } from './rank-runs.ts';
import { scratchFolder } from './scratch.ts';
import { tinyNetwork } from './tiny-run.ts';

const folder = scratchFolder();
const data = path.join(folder, 'shapes', 'data.yaml');
const BASE: TrainOptions = {
  model: tinyNetwork(folder),
  data,
  project: folder,
  device: 'cpu',
  amp: 'fp32',
  imgsz: 64,
  batch: 4,
  epochs: 2,
  nbs: 4,
  workers: 0,
  plots: false,
  optimizer: 'SGD',
};

before(async () => {
  await generateShapes({ out: path.dirname(data), train: 11, val: 3, imgsz: 64, seed: 2 });
});

test('two ranks: replicas equal bit for bit, every picture once an epoch, one rank writes', async () => {
  const [first, second] = await trainInRanks(2, { ...BASE, name: 'two' });
  assert.equal(first!.error, undefined);
  assert.match(first!.parameters!, /^[0-9a-f]{64}$/);
  assert.equal(second!.parameters, first!.parameters);
  assert.deepEqual(second!.losses, first!.losses);
  const all = readdirSync(path.join(folder, 'shapes', 'images', 'train')).sort();
  for (const epoch of [0, 1]) {
    const seen = [...first!.pictures[epoch]!, ...second!.pictures[epoch]!];
    assert.deepEqual(seen.sort(), all);
  }
  assert.deepEqual(readdirSync(folder).sort(), ['shapes', 'tiny.yaml', 'two']);
  assert.deepEqual(second!.events, []);

  // Another rank than the first is asked to stop; all of them do.
  const stopped = await trainInRanks(2, { ...BASE, name: 'stopped' }, { rank: 1, stopAfter: 2 });
  const message = 'training was interrupted in epoch 1 of 2';
  for (const { error } of stopped) assert.deepEqual(error, { code: 'INTERRUPTED', message });
  const last = path.join(folder, 'stopped', 'weights', 'last.safetensors');
  copyFileSync(last, path.join(folder, 'stopped.safetensors'));
  const [resumed] = await trainInRanks(2, { model: BASE.model!, resume: last });
  assert.equal(resumed!.parameters, first!.parameters);
  // The means of the epoch in which it stopped are added up in another order.
  assert.deepEqual(resumed!.losses.slice(1), first!.losses.slice(3));
});

test('a run goes on with another number of ranks, and says so', async () => {
  const [alone] = await trainInRanks(1, {
    model: BASE.model!,
    resume: path.join(folder, 'stopped.safetensors'),
  });
  assert.equal(alone!.error, undefined);
  assert.equal(
    alone!.events[0],
    'Resumed on 1 rank, before on 2: batch=4 is that of all together, so each has 4 pictures a step, and learning ' +
      'rate and accumulation stay as they are',
  );
  assert.equal(alone!.losses.length, 4);
});

test('with synchronised statistics two ranks train as one does', async () => {
  const even = path.join(folder, 'even', 'data.yaml');
  await generateShapes({ out: path.dirname(even), train: 12, val: 3, imgsz: 64, seed: 0 });
  const options: TrainOptions = {
    ...BASE,
    data: even,
    epochs: 4,
    lr0: 0.001,
    warmup_epochs: 0,
    sync_bn: true,
  };
  const [[first], [alone]] = [
    await trainInRanks(2, { ...options, name: 'shared' }),
    await trainInRanks(1, { ...options, name: 'alone' }),
  ];
  assert.equal(alone!.losses.length, 12);
  let worst = 0;
  for (const [step, losses] of alone!.losses.entries()) {
    for (const [item, loss] of losses.entries()) {
      worst = Math.max(worst, Math.abs(first!.losses[step]![item]! / loss - 1));
    }
  }
  assert.ok(worst < 1e-5, `losses differ by ${worst}`);
});

test('ranks that would train other things are refused, on all of them', async () => {
  const outcomes = await trainInRanks(2, BASE, { rank: 1, options: { epochs: 5 } });
  const host = hostname();
  for (const { error } of outcomes) {
    assert.deepEqual(error, {
      code: 'RANKS_DIFFER',
      message: `the ranks do not train the same: epochs= is 2 on rank 0 (${host}), 5 on rank 1 (${host})`,
      hint: 'start all ranks with the same version, options and data',
    });
  }
});

test('a rank without the data says so, and the others end at once', async () => {
  const missing = path.join(folder, 'nowhere.yaml');
  const [first, second] = await trainInRanks(2, BASE, { rank: 1, options: { data: missing } });
  assert.equal(second!.error?.code, 'BAD_DATA');
  assert.equal(first!.error?.code, 'DISTRIBUTED_PEER_LOST');
});

describe('what ranks cannot share is refused', () => {
  const asked = resolveSettings('train', { data, batch: 16 });
  const refusal = (options: object, ranks = 2) => {
    try {
      requireShareable({ ...asked, ...options }, ranks);
    } catch (error) {
      const { code, message, hint } = error as MezzoError;
      return [code, message, hint];
    }
    return null;
  };

  test('as is', () => {
    assert.equal(refusal({}), null);
    assert.equal(refusal({ batch: -1, device: 'cuda:0' }, 1), null);
  });

  test('a batch that cannot be divided', () => {
    const hint = 'batch is the number of pictures of all ranks together: ';
    assert.deepEqual(refusal({ batch: 5 }), [
      'BAD_OPTION',
      'batch=5 cannot be divided among ranks=2',
      `${hint}batch=4 or batch=6`,
    ]);
    assert.deepEqual(refusal({ batch: 2 }, 3), [
      'BAD_OPTION',
      'batch=2 cannot be divided among ranks=3',
      `${hint}batch=3`,
    ]);
  });

  test('a batch that follows from the memory, GPUs, and what each rank would measure for itself', () => {
    const messages = [{ batch: -1 }, { device: 'cuda:0' }, { amp: 'auto' }, { scaler: 'computed' }].map(
      (options) => refusal(options)?.slice(0, 2),
    );
    assert.deepEqual(messages, [
      [
        'UNSUPPORTED_OPTION',
        'batch=-1: the memory that is free on each rank may ask for different batches (ranks=2)',
      ],
      [
        'UNSUPPORTED_OPTION',
        'device=cuda:0: processes that train together exchange gradients on the CPU only: between GPUs that takes ' +
          'NCCL, which Mezzo is not built with (ranks=2)',
      ],
      [
        'UNSUPPORTED_OPTION',
        'amp=auto: each rank would measure other pictures, and plans and scales would differ (ranks=2)',
      ],
      [
        'UNSUPPORTED_OPTION',
        'scaler=computed: each rank would measure other pictures, and plans and scales would differ (ranks=2)',
      ],
    ]);
  });

  test('more ranks than processes', async () => {
    const [alone] = await trainInRanks(1, { ...BASE, ranks: 2 });
    assert.deepEqual(alone!.error, {
      code: 'BAD_OPTION',
      message: 'ranks=2, and this process is alone',
      hint: 'mezzo train starts them; a launcher, or distributed.initProcessGroup in a program, decides by itself',
    });
  });
});
