import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generateShapes } from '@mezzo/detect';
import type { MezzoError } from '@mezzo/libtorch';
import { cuda } from '@mezzo/torch';
import { epochSuite } from '../src/bench/epoch.ts';
import { gpu } from '../src/bench/gpu.ts';
import { infer } from '../src/bench/infer.ts';
import { loader } from '../src/bench/loader.ts';
import type { BenchRow } from '../src/bench/report.ts';
import { SideProcess, withSide } from '../src/bench/side-process.ts';
import { startup } from '../src/bench/startup.ts';
import { step } from '../src/bench/step.ts';
import type { BenchOptions } from '../src/bench/suite.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-bench-'));
after(() => rmSync(folder, { recursive: true }));

const TINY: BenchOptions = {
  threads: 1,
  peerPython: null,
  rounds: 1,
  data: null,
  model: 'yolov8n',
  imgsz: 64,
  batch: 2,
  compile: false,
  note: () => undefined,
};
const withData = async (): Promise<BenchOptions> => {
  const out = join(folder, 'shapes');
  const data = join(out, 'data.yaml');
  shapes ??= generateShapes({ out, train: 4, val: 2, imgsz: 64, seed: 0 });
  await shapes;
  return { ...TINY, data };
};
let shapes: Promise<unknown> | undefined;

/** The names of rows whose numbers are those of a measurement. */
function measured(rows: readonly BenchRow[]): string[] {
  for (const { name, a, b, ratio } of rows) {
    assert.ok(a > 0 && b > 0, name);
    assert.equal(ratio, a / b);
  }
  return rows.map(({ name }) => name);
}

test('step', async () => {
  assert.deepEqual(measured(await step.run(TINY)), ['fp32 / bf16', 'fused / separate']);
});

test('infer: the network by mode, and from file to boxes', async () => {
  assert.deepEqual(measured(await infer.run({ ...TINY, batch: 1 })), [
    'network: fp32-cl / fp32',
    'network: bf16-cl / fp32',
    'file to boxes: half / default',
  ]);
});

test('loader: without and with RAM cache', async () => {
  assert.deepEqual(measured(await loader.run(await withData())), ['loader', 'loader, RAM cache']);
});

test('epoch: two trainings in processes of their own, by turns', async () => {
  const [row] = await epochSuite.run({ ...(await withData()), rounds: 2 });
  assert.deepEqual(measured([row!]), ['epoch: Mezzo, AMP / Mezzo, fp32']);
  assert.deepEqual([row!.samples!.a.length, row!.samples!.b.length], [2, 2]);
});

test('startup: a process from its start to the first step', async () => {
  const [row] = await startup.run(await withData());
  assert.deepEqual(measured([row!]), ['mezzo train: first step / start']);
  assert.ok(row!.ratio > 1, 'the start event is before the first step');
});

test('startup tells why a training did not come to its first step', async () => {
  await assert.rejects(startup.run({ ...(await withData()), model: 'yolov8q' }), (error: MezzoError) => {
    assert.equal(error.code, 'PEER_FAILED');
    assert.match(error.message, /^mezzo train ended before its first step: .*yolov8q/);
    return true;
  });
});

test('suites that read pictures ask for them', async () => {
  for (const suite of [loader, epochSuite, startup]) {
    await assert.rejects(suite.run(TINY), {
      code: 'USAGE',
      message: `the suite ${suite.name} needs a data set`,
      hint: 'give data=DATA.yaml; mezzo data shapes --out shapes generates a small set',
    });
    await assert.rejects(suite.run({ ...TINY, data: join(folder, 'none.yaml') }), { code: 'BAD_DATA' });
  }
});

test('memory: a process tells the resident bytes that its steps need', async () => {
  const settings = { amp: 'fp32', channelsLast: false, imgsz: 128, batch: 2 };
  const samples = await withSide(SideProcess.node('resident-side.js', settings, 1), (side) =>
    side.measure(1),
  );
  // Gradients alone: 3.2 million parameters of 4 bytes.
  assert.equal(samples.length, 1);
  assert.ok(samples[0]! > 12e6, String(samples));
});

test('a side that ends without an answer is named', async () => {
  await assert.rejects(SideProcess.node('no-such-side.js', {}), {
    code: 'PEER_FAILED',
    message: 'the process no-such-side.js ended before it answered',
  });
});

test('gpu says that there is no card', { skip: cuda.isAvailable() && 'there is a CUDA device' }, async () => {
  await assert.rejects(gpu.run(TINY), {
    code: 'NO_SUCH_DEVICE',
    message: 'the suite gpu measures a CUDA device: LibTorch sees none',
    hint: 'mezzo doctor says what was found and why; the other suites measure the CPU',
  });
});
