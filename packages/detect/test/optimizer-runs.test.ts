/** Every optimizer trains, warms up what the reference warms up, and goes on from a checkpoint bit for bit. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, test } from 'node:test';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import type { OptimizerName } from '../src/engine/schedule.ts';
import { generateShapes, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';
import { scratchFolder } from './scratch.ts';
import { prepareTiny, tinyNetwork } from './tiny-run.ts';

process.env.OMP_NUM_THREADS = '1';

const folder = scratchFolder();
const model = tinyNetwork(folder);
const base: TrainOptions = {
  data: path.join(folder, 'shapes', 'data.yaml'),
  project: folder,
  epochs: 2,
  imgsz: 64,
  batch: 2,
  nbs: 2,
  workers: 0,
  plots: false,
  val: false,
  amp: 'fp32',
  device: 'cpu',
};

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 6, val: 1, imgsz: 64, seed: 4 }));

async function train(options: TrainOptions, stop?: (event: TrainEvent) => boolean): Promise<void> {
  const controller = new AbortController();
  const network = await YOLO.load(model);
  await network.train({
    ...options,
    signal: controller.signal,
    onEvent: (event) => {
      if (stop?.(event)) controller.abort();
    },
  });
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');

/** What warms up besides the rates, as Ultralytics 8.4.190 does: a momentum, but no beta. */
const MOMENTUM: Record<OptimizerName, 'momentum' | 'betas'> = {
  SGD: 'momentum',
  RMSProp: 'momentum',
  Adam: 'betas',
  AdamW: 'betas',
  Adamax: 'betas',
  NAdam: 'betas',
  RAdam: 'betas',
};

for (const [optimizer, momentum] of Object.entries(MOMENTUM) as [OptimizerName, 'momentum' | 'betas'][]) {
  test(`${optimizer}: resumed in the middle of an epoch, it ends with the same weights and state`, async () => {
    const [whole, broken] = [`${optimizer} whole`, `${optimizer} broken`];
    await train({ ...base, optimizer, name: whole });
    const second = (event: TrainEvent) => event.event === 'step' && event.epoch === 2 && event.step === 1;
    await assert.rejects(train({ ...base, optimizer, name: broken }, second), { code: 'INTERRUPTED' });
    await train({ resume: last(broken) });
    const [expected, resumed] = [await readCheckpoint(last(whole)), await readCheckpoint(last(broken))];
    equalTensors(resumed.weights, expected.weights);
    equalTensors(resumed.training!.live, expected.training!.live);
    for (const [number, state] of Object.entries(expected.training!.optimizer.state)) {
      equalTensors(resumed.training!.optimizer.state[number] as never, state as never);
    }
  });

  test(`${optimizer}: ${momentum === 'momentum' ? 'its momentum warms up' : 'its betas stay as they are'}`, async () => {
    const { run } = await prepareTiny(model, { ...base, optimizer, name: `${optimizer} prepared` });
    run.optimizer.apply({ lrBias: 0.1, lrOther: 0.2, momentum: 0.8, accumulate: 1 });
    const groups = run.optimizer.optimizer.paramGroups as { momentum?: number; betas?: number[] }[];
    for (const group of groups) {
      if (momentum === 'momentum') assert.equal(group.momentum, 0.8);
      else assert.deepEqual(group.betas, [0.937, 0.999]);
    }
    assert.deepEqual(run.optimizer.rates(), [0.2, 0.2, 0.1]);
  });
}
