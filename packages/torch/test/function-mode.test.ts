import assert from 'node:assert/strict';
import { test } from 'node:test';
import { functionMode, noGrad, ones, type Tensor } from '../src/index.ts';

test('a function mode sees every operation with its arguments and may change them', () => {
  const seen: string[] = [];
  const x = ones([2, 3]);
  const y = functionMode(
    (name, args, proceed) => {
      seen.push(name);
      return proceed(name === 'aten::mul' ? [args[0], 5] : args);
    },
    () => x.mul(2).sum([1]),
  );
  assert.deepEqual(seen, ['aten::mul', 'aten::sum']);
  assert.deepEqual(Array.from(y.toTypedArray() as Float32Array), [15, 15]);
});

test('operations of the handler do not meet it, and it may stand in for an operation', () => {
  const x = ones([2]);
  const y = functionMode(
    (name, args, proceed) => (name === 'aten::exp' ? (args[0] as Tensor).neg() : proceed(args)),
    () => x.exp(),
  );
  assert.deepEqual(Array.from(y.toTypedArray() as Float32Array), [-1, -1]);
});

test('an inner mode stands in place of the outer one, which is back after a throw', () => {
  const seen: string[] = [];
  const note =
    (who: string) =>
    (name: string, args: readonly unknown[], proceed: (args: readonly unknown[]) => unknown) => {
      seen.push(`${who} ${name}`);
      return proceed(args);
    };
  const x = ones([2]);
  functionMode(note('outer'), () => {
    assert.throws(() =>
      functionMode(note('inner'), () => {
        x.exp();
        throw new Error('stop');
      }),
    );
    x.log();
  });
  x.sqrt();
  assert.deepEqual(seen, ['inner aten::exp', 'outer aten::log']);
});

test('in-place operations return the very tensor, and gradients pass', () => {
  const x = ones([2]).requiresGrad_();
  functionMode(
    (_name, args, proceed) => proceed(args),
    () => {
      const y = x.mul(3);
      assert.equal(y.add_(1), y);
      y.sum().backward();
    },
  );
  assert.deepEqual(Array.from(noGrad(() => x.grad!.toTypedArray()) as Float32Array), [3, 3]);
});

test('an async function is refused', () => {
  assert.throws(
    () =>
      functionMode(
        (_name, args, proceed) => proceed(args),
        async () => {},
      ),
    {
      code: 'ASYNC_REGION',
    },
  );
});
