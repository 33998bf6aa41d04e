import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cuda, zeros } from '@mezzo/torch';
import { phaseTimes } from '../src/engine/phase-times.ts';
import { RunMonitor } from '../src/engine/run-monitor.ts';

const needsGpu = cuda.isAvailable() ? false : 'needs a CUDA device';

/** Keeps the host busy. */
function pass(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

const atLeast = (seconds: number, milliseconds: number) =>
  assert.ok(seconds >= milliseconds / 1000, `${seconds}`);

test('what lies between two marks belongs to the second, and an epoch starts anew', () => {
  const times = phaseTimes('cpu');
  pass(15);
  times.begin();
  pass(20);
  times.mark('data');
  pass(10);
  times.mark('forward');
  times.mark('backward');
  pass(5);
  times.mark('data');
  const { data, forward, optimizer } = times.seconds();
  atLeast(data, 25);
  atLeast(forward, 10);
  assert.equal(optimizer, 0);
  times.begin();
  assert.deepEqual(times.seconds(), { data: 0, forward: 0, backward: 0, optimizer: 0 });
});

test('images a second and the share of the wait, over the epoch so far', () => {
  const monitor = new RunMonitor('cpu');
  monitor.begin();
  assert.equal(monitor.step(0).waitShare, 0);
  pass(30);
  monitor.mark('data');
  pass(10);
  monitor.mark('optimizer');
  const { imagesPerSecond, waitShare, phases: sofar, ...rest } = monitor.step(16);
  assert.deepEqual(rest, {});
  assert.equal(sofar.forward, 0);
  assert.equal(waitShare, sofar.data / (sofar.data + sofar.optimizer));
  assert.ok(imagesPerSecond > 1 && imagesPerSecond <= 16 / 0.04, String(imagesPerSecond));
  assert.ok(waitShare > 0 && waitShare < 1);
  const { phases, ...use } = monitor.epoch();
  assert.equal(use.waitShare, phases.data / (phases.data + phases.optimizer));
  monitor.begin();
  assert.equal(monitor.step(0).imagesPerSecond, 0);
  monitor.stop();
});

test("on a GPU: the device's own time, read without waiting", { skip: needsGpu }, () => {
  const times = phaseTimes('cuda:0');
  times.begin();
  pass(20);
  times.mark('data');
  let x = zeros([2048, 2048], { device: 'cuda:0' });
  for (let i = 0; i < 50; i++) x = x.matmul(x);
  times.mark('forward');
  cuda.synchronize(0);
  const { data, forward } = times.seconds();
  atLeast(data, 20);
  assert.ok(forward > 0);
});
