import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { scope } from '@mezzo/torch';
import { assertNear, camelCased, type Numbers, readFixture, tensorOf } from './fixture.ts';

interface Case {
  options: Record<string, unknown>;
  inputs: Numbers[];
  weights: Numbers[];
  y: Numbers;
  slope: Numbers;
  grads: Numbers[];
}

const { attention, bidirectional } = readFixture<{
  attention: (Case & { arguments: [number, number] })[];
  bidirectional: (Case & { layer: 'LSTM' | 'GRU' | 'SimpleRNN'; mode: 'concat' | 'sum' | 'ave' })[];
}>('parts.json');

/** Sets the weights, runs the layer and compares output and gradients with Keras's. */
function check(layer: keras.layers.MultiHeadAttention | keras.layers.Bidirectional, recorded: Case): void {
  const inputs = recorded.inputs.map((input) => tensorOf(input));
  const run = () =>
    layer instanceof keras.layers.Bidirectional ? layer.call(inputs[0]!) : layer.call(inputs);
  run();
  layer.weights.forEach((weight, i) => {
    weight.detach().copy_(tensorOf(recorded.weights[i]!));
  });
  const y = run();
  assertNear(y, recorded.y, 2e-6, 'y');
  y.mul(tensorOf(recorded.slope)).sum().backward();
  layer.trainableVariables.forEach(({ grad }, i) => {
    assertNear(grad!, recorded.grads[i]!, 1e-5, `grad ${i}`);
  });
}

for (const each of attention) {
  test(`MultiHeadAttention ${JSON.stringify(each.options)}: as Keras`, () =>
    scope(() =>
      check(new keras.layers.MultiHeadAttention(...each.arguments, camelCased(each.options)), each),
    ));
}

for (const each of bidirectional) {
  test(`Bidirectional ${each.layer}, ${each.mode}: as Keras`, () =>
    scope(() => {
      const inner = new keras.layers[each.layer](3, camelCased(each.options));
      check(new keras.layers.Bidirectional(inner, { mergeMode: each.mode }), each);
    }));
}
