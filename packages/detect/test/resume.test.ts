import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { MezzoError } from '../src/index.ts';
import { comparableRows } from './comparable-rows.ts';
import { afterEpoch, afterStep, type Moment, resumableRuns } from './resumable-runs.ts';

const { folder, last, train, resumed } = resumableRuns(
  { train: 14, val: 4, imgsz: 64 },
  {
    epochs: 3,
    imgsz: 64,
    batch: 4,
    workers: 2,
    plots: false,
    close_mosaic: 1,
    amp: 'fp32',
    device: 'cpu',
  },
);

const at = (name: string) => path.join(folder, name);

const MOMENTS: Readonly<Record<string, Moment>> = {
  'in the middle of the second epoch': afterStep(2, 2),
  'after the first batch of all': afterStep(1, 1),
  'between two epochs': afterEpoch(1),
};

for (const [moment, stop] of Object.entries(MOMENTS)) {
  test(`a run that is interrupted ${moment} and resumed ends with the same weights, bit for bit`, async () => {
    const { name, whole, resumed: own } = await resumed(moment, stop);
    assert.equal(own.training!.state.emaUpdates, whole.training!.state.emaUpdates);
    assert.equal(own.training!.state.steps, whole.training!.state.steps);
    assert.deepEqual(comparableRows(at(name)), comparableRows(at('whole')));
  });
}

test('a finished run has nothing to resume', async () => {
  await assert.rejects(train({ resume: last('whole') }), (error: unknown) => {
    assert.ok(error instanceof MezzoError);
    assert.equal(error.code, 'NOTHING_TO_RESUME');
    assert.equal(error.message, `${last('whole')}: this training is finished, there is nothing to resume`);
    return true;
  });
});

test('without any checkpoint resume says so', async () => {
  const project = path.join(folder, 'empty');
  await assert.rejects(train({ resume: true, project }), (error: unknown) => {
    assert.ok(error instanceof MezzoError);
    assert.equal(error.message, `resume: no run under ${project} has a checkpoint`);
    assert.equal(
      error.hint,
      'a run writes its first checkpoint after its first epoch, or when it is interrupted with Ctrl-C',
    );
    return true;
  });
});
