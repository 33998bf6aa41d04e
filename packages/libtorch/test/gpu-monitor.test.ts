import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cardOf, GpuMonitor, parseGpuSample } from '../src/gpu-monitor.ts';
import { temporaryFolder } from './fake-libtorch.ts';

const MIB = 1 << 20;

/** Lines that `nvidia-smi --query-gpu=name,utilization.gpu,memory.used --format=csv,noheader,nounits` writes. */
const LINES = ['Tesla T4, 0, 2', 'Tesla T4, 87, 9021', 'Tesla T4, 93, 9877'];

/** A program that writes lines at once and then lives on, as nvidia-smi does with --loop. */
function program(t: TestContext, lines: readonly string[], ending = 'exec sleep 60'): string {
  const file = path.join(temporaryFolder(t), 'nvidia-smi');
  writeFileSync(file, `#!/bin/sh\n${lines.map((line) => `echo '${line}'\n`).join('')}${ending}\n`);
  chmodSync(file, 0o755);
  return file;
}

const options = { name: 'Tesla T4', env: process.env, seconds: 2 };

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) await sleep(20);
  assert.ok(condition());
}

test('a recorded line', () => {
  assert.deepEqual(parseGpuSample('Tesla T4, 87, 9021', 'Tesla T4'), {
    utilization: 0.87,
    memoryUsed: 9021 * MIB,
  });
  assert.deepEqual(parseGpuSample('NVIDIA GB10, 14, [N/A]', 'NVIDIA GB10'), {
    utilization: 0.14,
    memoryUsed: null,
  });
  assert.deepEqual(parseGpuSample('Tesla K20, [Not Supported], 113', 'Tesla K20'), {
    utilization: null,
    memoryUsed: 113 * MIB,
  });
  for (const line of [
    'Tesla T4, 87, 9021',
    'No devices were found',
    '',
    'NVIDIA-SMI has failed, because, of',
  ]) {
    assert.equal(parseGpuSample(line, 'Tesla V100-SXM2-16GB'), null);
  }
});

test('the card is asked for as CUDA numbers it', () => {
  const uuid = 'GPU-5d1c7e90-22aa-4c0e-8a1f-7b1c0c9f4e21';
  assert.equal(cardOf(1, {}), '1');
  assert.equal(cardOf(1, { CUDA_VISIBLE_DEVICES: '2,3' }), '3');
  assert.equal(cardOf(0, { CUDA_VISIBLE_DEVICES: ` ${uuid}` }), uuid);
  assert.equal(cardOf(0, { CUDA_VISIBLE_DEVICES: 'MIG-5d1c7e90' }), null);
  assert.equal(cardOf(2, { CUDA_VISIBLE_DEVICES: '0' }), null);
  assert.equal(cardOf(0, { CUDA_VISIBLE_DEVICES: '' }), null);
});

test('the latest sample, and mean and most of those since the last look', async (t) => {
  const monitor = GpuMonitor.of(program(t, LINES), '0', options);
  assert.equal(monitor.latest, null);
  await until(() => monitor.latest?.utilization === 0.93);
  assert.deepEqual(monitor.latest, { utilization: 0.93, memoryUsed: 9877 * MIB });
  const { utilization, memoryUsed } = monitor.collect()!;
  assert.ok(Math.abs(utilization! - 0.6) < 1e-12);
  assert.equal(memoryUsed, 9877 * MIB);
  assert.equal(monitor.collect(), null);
  monitor.stop();
  assert.equal(monitor.latest, null);
});

test('without numbers, with a program that fails or is no program there is nothing', async (t) => {
  const untold = GpuMonitor.of(program(t, ['Tesla T4, [N/A], [N/A]']), '0', options);
  await until(() => untold.latest !== null);
  assert.deepEqual(untold.collect(), { utilization: null, memoryUsed: null });
  untold.stop();
  for (const file of [
    program(t, ['No devices were found'], 'exit 6'),
    path.join(temporaryFolder(t), 'none'),
  ]) {
    const monitor = GpuMonitor.of(file, '0', options);
    await sleep(200);
    assert.deepEqual([monitor.latest, monitor.collect()], [null, null]);
    monitor.stop();
  }
});

test('without an nvidia-smi there is no monitor', () => {
  assert.equal(GpuMonitor.start({ index: 0, name: 'Tesla T4', env: { PATH: '' } }), null);
});
