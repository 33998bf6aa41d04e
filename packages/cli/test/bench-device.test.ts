import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backends, cuda, setNumThreads } from '@mezzo/torch';
import { type DeviceBench, deviceRows, dualMid } from '../src/bench/device-rows.ts';

const SMALL = { imgsz: 64, batch: 2, rounds: 1, stepsARound: 1, note: () => undefined };

/** Every row of the suite `gpu` that needs no reference, with a small network in the place of the large one. */
function rowsOn(device: string) {
  setNumThreads(1);
  const bench: DeviceBench = { ...SMALL, device, model: 'yolov8n', large: 'yolov8n', dual: dualMid() };
  const { cudnn, cuda: blas } = backends;
  const before = [cudnn.allowTf32, blas.matmul.allowTf32];
  const rows = deviceRows(bench);
  assert.deepEqual([cudnn.allowTf32, blas.matmul.allowTf32], before);
  for (const { name, a, b } of rows) assert.ok(a > 0 && b > 0, name);
  assert.deepEqual(
    rows.map(({ name, unit }) => `${name} (${unit})`),
    [
      'time: AMP / fp32, TF32 off (s)',
      'memory: AMP / fp32, TF32 off (bytes)',
      'time: AMP / fp32, TF32 on (s)',
      'memory: AMP / fp32, TF32 on (bytes)',
      'time: AMP / bf16 (s)',
      'memory: AMP / bf16 (bytes)',
      'large network: AMP / fp32 (img/s)',
      'large network, memory: AMP / fp32 (bytes)',
      'largest batch in the same memory: AMP / fp32 (images)',
      'largest batch, dual mid in the same memory: AMP / fp32 (images)',
      'time an image: batch 2 / 1 (s)',
      'memory an image: batch 2 / 1 (bytes)',
      'time an image: batch 4 / 2 (s)',
      'memory an image: batch 4 / 2 (bytes)',
    ],
  );
}

test('the rows of a device, measured on the CPU', () => rowsOn('cpu'));

test('the rows of a device, measured on a card', { skip: !cuda.isAvailable() && 'no CUDA device' }, () =>
  rowsOn('cuda:0'),
);
