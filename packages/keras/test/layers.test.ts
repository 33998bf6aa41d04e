import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { scope, type Tensor } from '@mezzo/torch';
import { assertNear, camelCased, type Numbers, readFixture, tensorOf } from './fixture.ts';

interface Case {
  layer: string;
  arguments: unknown[];
  options: Record<string, unknown>;
  policy: 'float32' | 'mixed_bfloat16';
  x: Numbers;
  weights: Numbers[];
  names: string[];
  y: Numbers;
  dtype: string;
  slope: Numbers;
  /** Of the input, then of the weights. */
  grads: Numbers[];
  /** Weights after the call, where it changes some. */
  after: Numbers[];
}

const { layers: cases } = readFixture<{ layers: Case[] }>('parts.json');

/** Relative to the largest value. A bfloat16 sum carries one rounding (2^-9) of it, and grads pass several. */
const TOLERANCE = { float32: 2e-6, mixed_bfloat16: 2e-2 };

const make = (name: string, args: readonly unknown[]) => {
  const known = keras.layers as unknown as Record<string, new (...args: unknown[]) => keras.layers.Layer>;
  return new known[name]!(...args);
};

for (const each of cases) {
  const options = JSON.stringify(each.options);
  test(`${each.layer}(${each.arguments.join(', ')}) ${options} ${each.policy}: as Keras`, () =>
    scope(() => {
      const layer = make(each.layer, [
        ...each.arguments,
        { ...camelCased(each.options), dtype: each.policy },
      ]);
      const whole = each.layer === 'Embedding';
      const x = tensorOf(each.x, whole ? 'int64' : 'float32').requiresGrad_(!whole);
      const [batch, ...sizes] = each.x.shape;
      const symbol = keras.Input({ shape: sizes });
      const inferred = layer.call(symbol).shape;
      const names = layer.namedWeights().map(([name]) => name);
      assert.deepEqual(names, each.names);
      layer.weights.forEach((weight, i) => {
        weight.detach().copy_(tensorOf(each.weights[i]!));
      });
      const training = each.layer === 'BatchNormalization';
      const y: Tensor = layer.call(x, { training });
      assert.deepEqual(y.shape, [batch, ...inferred.slice(1)], 'the inferred shape');
      assert.equal(y.dtype, each.dtype);
      const tolerance = TOLERANCE[each.policy];
      assertNear(y, each.y, tolerance, 'y');
      y.float().mul(tensorOf(each.slope)).sum().backward();
      const grads = [...(whole ? [] : [x]), ...layer.trainableVariables].map(({ grad }) => grad!);
      assert.equal(grads.length, each.grads.length);
      grads.forEach((grad, i) => {
        assertNear(grad, each.grads[i]!, 5 * tolerance, `grad ${i}`);
      });
      each.after.forEach((weight, i) => {
        assertNear(layer.weights[i]!, weight, tolerance, `weight ${i} afterwards`);
      });
    }));
}
