import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { amp } from '@mezzo/torch';
import { readCheckpoint } from '../src/engine/checkpoint.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { generateShapes, MezzoError, type TrainOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-resume-computed-'));
const model = path.join(folder, 'small.yaml');

/** Fp16 is slow on a CPU. */
const SMALL = {
  nc: 3,
  backbone: [
    [-1, 1, 'Conv', [8, 3, 2]],
    [-1, 1, 'Conv', [16, 3, 2]],
    [-1, 1, 'Conv', [32, 3, 2]],
  ],
  head: [[[2], 1, 'Detect', ['nc']]],
};

// 24 windows of one batch: gradients between the modules are measured in the first and the 21st.
const options = (name: string): TrainOptions => ({
  data: path.join(folder, 'shapes', 'data.yaml'),
  project: folder,
  name,
  epochs: 3,
  imgsz: 32,
  batch: 2,
  nbs: 2,
  warmup_epochs: 0,
  workers: 1,
  plots: false,
  val: false,
  close_mosaic: 0,
  amp: 'fp16',
  scaler: 'computed',
  check: false,
  device: 'cpu',
});

async function train(extra: TrainOptions, stop?: (event: TrainEvent) => boolean): Promise<void> {
  const controller = new AbortController();
  await (await YOLO.load(model)).train({
    ...extra,
    signal: controller.signal,
    onEvent: (event) => {
      if (stop?.(event)) controller.abort();
    },
  });
}

const last = (name: string) => path.join(folder, name, 'weights', 'last.safetensors');

const scales = (name: string) =>
  readEvents(path.join(folder, name, 'events.jsonl')).flatMap((event) =>
    event.event === 'step' ? [event.scale] : [],
  );

before(async () => {
  writeFileSync(model, JSON.stringify(SMALL));
  await generateShapes({ out: path.join(folder, 'shapes'), train: 16, val: 2, imgsz: 32, seed: 1 });
  await train(options('whole'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the run to compare with measured between the modules, and its scale moved', async () => {
  const { scaler, observers } = (await readCheckpoint(last('whole'))).training!.state;
  const { rule, state } = scaler as unknown as amp.GradScalerState;
  assert.equal(rule?.name, 'computed');
  assert.ok(state!.largest > 0);
  assert.equal(state!.starting, rule.startWindows - 24);
  assert.deepEqual(observers?.['computed scale'], { updates: 24 });
  assert.ok(new Set(scales('whole')).size > 1, String(scales('whole')));
});

const at = (epoch: number, step: number) => (event: TrainEvent) =>
  event.event === 'step' && event.epoch === epoch && event.step === step;

const MOMENTS: Record<string, (event: TrainEvent) => boolean> = {
  'after the first step': at(1, 1),
  'before the boundaries are measured again': at(3, 4),
  'after they were': at(3, 5),
};

for (const [moment, stop] of Object.entries(MOMENTS)) {
  test(`Y10 interrupted ${moment}: the running maximum, its start, the sampling and the weights go on bit for bit`, async () => {
    const name = moment.replaceAll(' ', '-');
    await assert.rejects(
      train(options(name), stop),
      (error: unknown) => error instanceof MezzoError && error.code === 'INTERRUPTED',
    );
    await train({ resume: last(name) });
    const [whole, resumed] = [await readCheckpoint(last('whole')), await readCheckpoint(last(name))];
    equalTensors(resumed.training!.live, whole.training!.live);
    const facts = ({ training }: typeof whole) => {
      const { scaler, observers, steps, skipped } = training!.state;
      return { scaler, sampling: observers?.['computed scale'], steps, skipped };
    };
    assert.deepEqual(facts(resumed), facts(whole));
    assert.deepEqual(scales(name), scales('whole'));
  });
}
