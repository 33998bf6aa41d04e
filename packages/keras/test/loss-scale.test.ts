import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { full, nn, type Tensor, tensor, zeros } from '@mezzo/torch';

interface Trace {
  name: string;
  config: { initial_scale?: number; dynamic_growth_steps?: number };
  /** A mark a step: `.` finite, `i` an infinity, `n` NaN. */
  gradients: string;
  scale: (number | 'Infinity')[];
  tracker?: number[];
  skipped?: number[];
}

const recorded = new URL('../../../../conformance/scalers/keras.json', import.meta.url);
const { traces } = JSON.parse(readFileSync(recorded, 'utf8')) as { traces: Trace[] };

const GRADIENTS: Readonly<Record<string, number>> = { '.': 0, i: Number.POSITIVE_INFINITY, n: Number.NaN };

test(`LossScaleOptimizer: scale, counter and skips of Keras in ${traces.length} traces`, () => {
  for (const { name, config, gradients, scale, tracker } of traces) {
    const inner = new keras.optimizers.SGD();
    const optimizer = new keras.optimizers.LossScaleOptimizer(inner, {
      initialScale: config.initial_scale,
      dynamicGrowthSteps: config.dynamic_growth_steps,
    });
    const variable = new nn.Parameter(zeros([1]));
    let applied = 0;
    [...gradients].forEach((mark, step) => {
      optimizer.apply([tensor([GRADIENTS[mark]!])], [variable]);
      if (mark === '.') applied += 1;
      assert.equal(optimizer.dynamicScale, Number(scale[step]), `${name}, step ${step + 1}: scale`);
      if (tracker !== undefined) {
        assert.equal(optimizer.stepCounter, tracker[step], `${name}, step ${step + 1}: counter`);
      }
      assert.equal(optimizer.iterations, applied, `${name}, step ${step + 1}: applied steps`);
    });
  }
});

test('the loss is multiplied by the scale, gradients are divided by it and not changed themselves', () => {
  const optimizer = new keras.optimizers.LossScaleOptimizer(new keras.optimizers.SGD({ learningRate: 1 }), {
    initialScale: 1024,
  });
  assert.equal(optimizer.scaleLoss(full([], 2)).item(), 2048);
  const variable = new nn.Parameter(zeros([2]));
  const gradient: Tensor = tensor([1024, -512]);
  optimizer.apply([gradient], [variable]);
  assert.deepEqual(Array.from(variable.toTypedArray() as Float32Array), [-1, 0.5]);
  assert.deepEqual(Array.from(gradient.toTypedArray() as Float32Array), [1024, -512]);
});

test('2^15 at the start and by itself under mixed_float16; an overflow in fit changes nothing', async () => {
  keras.mixedPrecision.setGlobalPolicy('mixed_float16');
  const model = new keras.Sequential([
    keras.Input({ shape: [4] }),
    new keras.layers.Dense(8, { activation: 'relu' }),
    new keras.layers.BatchNormalization(),
    new keras.layers.Dense(1, { dtype: 'float32' }),
  ]);
  keras.mixedPrecision.setGlobalPolicy('float32');
  model.compile({ optimizer: 'adam', loss: 'mse' });
  const { optimizer } = model.compiled;
  assert.ok(optimizer instanceof keras.mixedPrecision.LossScaleOptimizer);
  assert.equal(optimizer.dynamicScale, 2 ** 15);
  const x = full([8, 4], 1).add(tensor([0, 1, 2, 3]));
  // A target so large that the scaled gradient leaves float16's range.
  const before = model.getWeights();
  const { skippedSteps } = await model.fit({ x, y: full([8, 1], 1e4), batchSize: 8 });
  assert.equal(skippedSteps, 1);
  assert.equal(optimizer.dynamicScale, 2 ** 14);
  assert.equal(optimizer.iterations, 0);
  model.getWeights().forEach((weight, i) => {
    assert.ok(weight.equal(before[i]!), `weight ${i}`);
  });
  const calm = await model.fit({ x, y: full([8, 1], 0.5), batchSize: 8 });
  assert.equal(calm.skippedSteps, 0);
  assert.equal(optimizer.iterations, 1);
  assert.ok(!model.getWeights().at(-1)!.equal(before.at(-1)!), 'a step that is applied changes the weights');
});
