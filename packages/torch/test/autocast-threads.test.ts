import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { autocast, noGrad } from '../src/index.ts';
import { type Task, type Trained, threadState, train } from './autocast-worker.ts';

const OUTSIDE = { enabled: false, dtype: 'bfloat16', cache: true, nesting: 0, gradients: true };

function start(kind: Task['kind'], rounds = 0) {
  const turn = new SharedArrayBuffer(8);
  const worker = new Worker(new URL('./autocast-worker.js', import.meta.url), {
    workerData: { kind, turn, rounds } satisfies Task,
  });
  return { state: new Int32Array(turn), answer: once(worker, 'message').then(([value]) => value as unknown) };
}

/**
 * The forward pass is the same to the bit. A cast repeated within a region has a node of its own in the graph,
 * so the weight's gradient is summed in another order and with another rounding.
 */
function assertSame(actual: Trained, expected: Trained): void {
  assert.deepEqual(actual.losses, expected.losses);
  let [difference, size] = [0, 0];
  expected.gradients.forEach((value, i) => {
    difference += (actual.gradients[i]! - value) ** 2;
    size += value ** 2;
  });
  assert.ok(
    size > 0 && Math.sqrt(difference / size) < 0.01,
    `relative difference ${Math.sqrt(difference / size)}`,
  );
}

describe('worker threads', () => {
  test('Y8: a worker sees nothing of the region that is open on the main thread', async () => {
    const { state, answer } = start('state');
    autocast({ device: 'cpu', dtype: 'float16', cache: false }, () =>
      noGrad(() => {
        Atomics.wait(state, 1, 0, 60_000);
        assert.equal(Atomics.load(state, 1), 1);
        assert.equal(threadState().nesting, 1);
      }),
    );
    assert.deepEqual(await answer, OUTSIDE);
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('Y8: results stay right while another thread clears the cache of the process', async () => {
    const rounds = 200;
    const alone = train(rounds);
    const { state, answer } = start('regions', 200);
    Atomics.wait(state, 0, 0, 60_000);
    const disturbed = train(rounds);
    Atomics.store(state, 0, 2);
    const opened = (await answer) as number;
    assert.ok(opened >= 200, `${opened} regions`);
    assertSame(disturbed, alone);
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('Y8: two workers train at once, each as if it were alone', async () => {
    const [first, second] = [start('train', 100), start('train', 100)];
    const [a, b] = await Promise.all([first.answer, second.answer]);
    const alone = train(100);
    assertSame(a as Trained, alone);
    assertSame(b as Trained, alone);
  });
});
