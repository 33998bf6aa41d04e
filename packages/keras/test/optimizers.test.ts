import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keras } from '@mezzo/keras';
import { nn } from '@mezzo/torch';
import { assertNear, camelCased, type Numbers, readFixture, tensorOf } from './fixture.ts';

interface Recorded {
  optimizers: {
    start: Numbers[];
    gradients: Numbers[][];
    cases: { optimizer: string; options: Record<string, unknown>; steps: Numbers[][] }[];
  };
  schedules: { schedule: string; options: Record<string, unknown>; rates: number[] }[];
}

const { optimizers, schedules } = readFixture<Recorded>('parts.json');

/** beta_1 → beta1 */
const ours = (options: Record<string, unknown>) => camelCased(options);

for (const { optimizer: name, options, steps } of optimizers.cases) {
  test(`${name} ${JSON.stringify(options)}: the variables of Keras after each step`, () => {
    const known = keras.optimizers as unknown as Record<
      string,
      new (
        options: object,
      ) => keras.optimizers.Optimizer
    >;
    const optimizer = new known[name]!(ours(options));
    const variables = optimizers.start.map((value) => new nn.Parameter(tensorOf(value)));
    steps.forEach((expected, i) => {
      optimizer.apply(
        optimizers.gradients[i]!.map((grad) => tensorOf(grad)),
        variables,
      );
      variables.forEach((variable, j) => {
        assertNear(variable, expected[j]!, 1e-6, `step ${i + 1}, variable ${j}`);
      });
    });
    assert.equal(optimizer.iterations, steps.length);
  });
}

for (const { schedule, options, rates } of schedules) {
  test(`${schedule} ${JSON.stringify(options)}: the rates of Keras`, () => {
    const known = keras.optimizers.schedules as unknown as Record<
      string,
      (options: object) => (step: number) => number
    >;
    const make = known[schedule[0]!.toLowerCase() + schedule.slice(1)]!;
    rates.forEach((rate, step) => {
      assert.ok(Math.abs(make(ours(options))(step) - rate) <= 1e-6 * Math.max(rate, 1e-3), `step ${step}`);
    });
  });
}
