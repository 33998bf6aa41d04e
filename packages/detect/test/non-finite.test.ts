import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { TrainEvent } from '../src/engine/event.ts';
import { readEvents } from '../src/engine/events.ts';
import { causeOf, NonFiniteError, requireHope } from '../src/engine/non-finite.ts';
import { generateShapes, YOLO } from '../src/index.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-non-finite-'));

before(() => generateShapes({ out: path.join(folder, 'shapes'), train: 4, val: 2, imgsz: 32, seed: 1 }));
after(() => rmSync(folder, { recursive: true, force: true }));

test('the cause names the first layers, each once', () => {
  assert.equal(causeOf(['loss']), 'the loss was not finite');
  assert.equal(causeOf(['a.b.weight', 'a.b.bias', 'c.running_var']), 'non-finite gradients in a.b, c');
  const many = Array.from({ length: 8 }, (_, i) => `model.${i}.weight`);
  assert.equal(
    causeOf(many),
    'non-finite gradients in model.0, model.1, model.2, model.3, model.4 and 3 more',
  );
});

test('fifty hopeless windows in a row are an error, forty-nine are not', () => {
  requireHope(49, ['a.weight']);
  assert.throws(
    () => requireHope(50, ['a.weight', 'b.weight']),
    (error: unknown) => {
      assert.ok(error instanceof NonFiniteError);
      assert.equal(error.code, 'NON_FINITE');
      assert.equal(error.message, '50 steps in a row were left out: non-finite gradients in a, b');
      assert.equal(
        error.hint,
        'the weights are as they were before; lower the learning rate (lr0), look at the pictures and labels of the ' +
          'last batches, or train with amp=fp32 to see whether the precision is the cause',
      );
      assert.deepEqual(error.culprits, ['a.weight', 'b.weight']);
      return true;
    },
  );
});

for (const amp of ['fp32', 'bf16'] as const) {
  test(`amp=${amp} with a learning rate that ruins the first step: events name the layers, and the run ends with an error`, async () => {
    const events: TrainEvent[] = [];
    const model = await YOLO.load('yolov8n');
    const training = model.train({
      data: path.join(folder, 'shapes', 'data.yaml'),
      project: folder,
      name: amp,
      epochs: 100,
      imgsz: 32,
      batch: 4,
      nbs: 4,
      workers: 1,
      plots: false,
      val: false,
      save: false,
      device: 'cpu',
      amp,
      optimizer: 'SGD',
      lr0: 1e30,
      warmup_epochs: 0,
      onEvent: (event) => events.push(event),
    });
    await assert.rejects(training, (error: unknown) => error instanceof NonFiniteError);
    const skips = events.filter((event) => event.event === 'skip');
    assert.deepEqual(
      skips.map(({ step }) => step),
      Array.from({ length: 50 }, (_, i) => i + 2),
    );
    assert.ok(skips.every(({ scale }) => scale === null));
    assert.ok(skips[0]!.culprits.includes('model.0.bn.running_var'));
    assert.match(skips[0]!.cause, /^non-finite gradients in model\.\d+\.\S+, .* and \d+ more$/);
    const epoch = events.findLast((event) => event.event === 'epoch');
    assert.equal(epoch?.skipped, epoch!.epoch - 1);
    const logged = readEvents(path.join(folder, amp, 'events.jsonl')).filter(({ event }) => event === 'skip');
    assert.deepEqual(logged, skips);
  });
}
