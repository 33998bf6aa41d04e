import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Advised, adviceFor } from '../src/engine/advice.ts';
import { buildModel } from '../src/index.ts';

/** A run that leaves nothing to be wished for, on a device. */
function wellMade(device: 'cpu' | 'cuda:0'): Advised {
  return {
    device,
    model: buildModel('yolov8n', { nc: 3 }),
    precision: { enabled: true, dtype: device === 'cpu' ? 'bfloat16' : 'float16' },
    settings: {
      amp: true,
      channels_last: null,
      workers: 8,
      deterministic: false,
      multi_scale: 0,
      rect: false,
    },
    cores: 4,
  };
}

const given = (run: Advised, settings: Partial<Advised['settings']>): Advised => ({
  ...run,
  settings: { ...run.settings, ...settings },
});

const codes = (run: Advised) => adviceFor(run).map(({ code }) => code);

test('a run that leaves nothing to be wished for gets no advice', () => {
  assert.deepEqual(codes(wellMade('cpu')), []);
  assert.deepEqual(codes(wellMade('cuda:0')), []);
});

test('channels_last=false in 16 bits, and few workers, with what they cost', () => {
  const run = given(wellMade('cpu'), { channels_last: false, workers: 0 });
  assert.deepEqual(adviceFor(run), [
    {
      event: 'advice',
      code: 'CHANNELS_LAST_OFF',
      text: 'channels_last=false, and convolutions in bfloat16 want channels last: leave it out',
      gain: 'measured with YOLOv8n in bf16 on a core with AMX: a step in 0.79 of the time',
    },
    {
      event: 'advice',
      code: 'FEW_WORKERS',
      text: 'workers=0 prepares nothing ahead of the step, and there are 4 cores: workers=8',
      gain: 'to be expected: up to all of the time that steps wait for pictures',
    },
  ]);
  assert.deepEqual(
    codes(given({ ...run, precision: { enabled: false, dtype: 'float32' } }, { workers: 4 })),
    [],
  );
});

test('cuDNN may try its algorithms where all batches are of one size', () => {
  const run = given(wellMade('cuda:0'), { deterministic: true });
  assert.deepEqual(codes(run), ['CUDNN_BENCHMARK_OFF']);
  assert.deepEqual(codes(given(run, { multi_scale: 0.5 })), []);
  assert.deepEqual(codes(given(run, { rect: true })), []);
  assert.deepEqual(codes(given(wellMade('cpu'), { deterministic: true })), []);
});

test('widths that are no multiple of 8 are named, on a GPU in 16 bits; outputs of the head are not', () => {
  // 90 classes make the head's class branch 90 wide.
  const odd = { ...wellMade('cuda:0'), model: buildModel('yolov8n', { nc: 90 }) };
  assert.deepEqual(
    adviceFor(odd).map(({ text }) => text),
    [
      'convolutions whose channels are no multiple of 8 (model.22.cv3.0.0.conv: 90, model.22.cv3.0.1.conv: 90, ' +
        "model.22.cv3.1.0.conv: 90 and 3 more): choose such widths in the model's yaml",
    ],
  );
  assert.deepEqual(codes({ ...odd, precision: { enabled: false, dtype: 'float32' } }), []);
  assert.deepEqual(codes({ ...wellMade('cpu'), model: odd.model }), []);
});

test('float32 by choice on a CPU: advice where the CPU has bf16, none otherwise', () => {
  const run = { ...wellMade('cpu'), precision: { enabled: false, dtype: 'float32' } } as const;
  const before = process.env.ONEDNN_MAX_CPU_ISA;
  try {
    process.env.ONEDNN_MAX_CPU_ISA = 'AVX2';
    assert.deepEqual(codes(given(run, { amp: 'fp32' })), []);
  } finally {
    if (before === undefined) delete process.env.ONEDNN_MAX_CPU_ISA;
    else process.env.ONEDNN_MAX_CPU_ISA = before;
  }
  // amp=true that means float32 here was no choice.
  assert.deepEqual(codes(run), []);
});
