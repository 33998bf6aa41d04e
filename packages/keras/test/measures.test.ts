import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import type { Tensor } from '@mezzo/torch';
import { camelCased, type Numbers, readFixture, tensorOf } from './fixture.ts';

interface Measured {
  options: Record<string, unknown>;
  kind: string;
  value: number;
  weighted: number;
}

interface Recorded {
  targets: Record<string, [y: Numbers, p: Numbers]>;
  weights: Numbers;
  losses: (Measured & { loss: string })[];
  metrics: (Measured & { metric: string })[];
  initializers: { initializer: string; shape: number[]; std: number; low: number; high: number }[];
}

const recorded = readFixture<Recorded>('parts.json');
const weights = tensorOf(recorded.weights);

const near = (actual: number, expected: number) =>
  assert.ok(
    Math.abs(actual - expected) <= 2e-6 * Math.max(1, Math.abs(expected)),
    `${actual}, Keras ${expected}`,
  );

const ofKind = (kind: string): [y: Tensor, p: Tensor] => {
  const [y, p] = recorded.targets[kind]!;
  return [tensorOf(y), tensorOf(p)];
};

for (const { loss: name, options, kind, value, weighted } of recorded.losses) {
  test(`${name} ${JSON.stringify(options)}: as Keras`, () => {
    const known = keras.losses as unknown as Record<string, new (options: object) => keras.losses.Loss>;
    const loss = new known[name]!(camelCased(options));
    const [y, p] = ofKind(kind);
    near(Number(loss.call(y, p).item()), value);
    near(Number(loss.call(y, p, weights).item()), weighted);
  });
}

for (const { metric: name, options, kind, value, weighted } of recorded.metrics) {
  test(`metric ${name} ${JSON.stringify(options)}: as Keras, over two batches`, () => {
    const known = keras.metrics as unknown as Record<string, new (options: object) => keras.metrics.Metric>;
    const [y, p] = ofKind(kind);
    for (const [weight, expected] of [
      [null, value],
      [weights, weighted],
    ] as const) {
      const metric = new known[name]!(camelCased(options));
      for (const [from, length] of [
        [0, 4],
        [4, 2],
      ] as const) {
        const part = (t: Tensor) => t.narrow(0, from, length);
        metric.updateState(part(y), part(p), weight && part(weight));
      }
      near(metric.result(), expected);
      metric.resetState();
      assert.equal(metric.result(), 0);
    }
  });
}

/** Draws of 115,200 values and more: their spread agrees within 1 %, the first and last thousandth within 5 %. */
for (const { initializer, shape, std, low, high } of recorded.initializers) {
  test(`initializer ${initializer} [${shape.join(', ')}]: spread and range of Keras`, () => {
    const drawn =
      shape.length === 2 ? denseKernel(initializer, shape) : convolutionKernel(initializer, shape);
    const close = (a: number, b: number, tolerance: number) =>
      assert.ok(Math.abs(a - b) <= tolerance * Math.max(Math.abs(b), 1e-9), `${a}, Keras ${b}`);
    close(Number(drawn.std(null, { correction: 0 }).item()), std, 0.01);
    const values = Float32Array.from(drawn.detach().toTypedArray() as Float32Array).sort();
    close(values[Math.round(0.001 * (values.length - 1))]!, low, 0.05);
    close(values[Math.round(0.999 * (values.length - 1))]!, high, 0.05);
  });
}

function denseKernel(initializer: string, [inputs, outputs]: readonly number[]): Tensor {
  const layer = new keras.layers.Dense(outputs!, { kernelInitializer: initializer });
  layer.call(keras.Input({ shape: [inputs!] }));
  return layer.kernel;
}

function convolutionKernel(initializer: string, [rows, columns, inputs, outputs]: readonly number[]): Tensor {
  const layer = new keras.layers.Conv2D(outputs!, [rows!, columns!], { kernelInitializer: initializer });
  layer.call(keras.Input({ shape: [8, 8, inputs!] }));
  return layer.kernel;
}
