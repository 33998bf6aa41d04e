import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  autograd,
  grad,
  isGradEnabled,
  keep,
  manualSeed,
  memory,
  noGrad,
  ones,
  randn,
  scope,
  type Tensor,
  TorchError,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { testOnBothThreads } from './both-threads.ts';

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });

/** x³ with its derivative written out. */
class Cube extends autograd.Function {
  static forward(ctx: autograd.FunctionContext, x: Tensor): Tensor {
    ctx.saveForBackward(x);
    return x.pow(3);
  }

  static backward(ctx: autograd.FunctionContext, gradient: Tensor): Tensor {
    const [x] = ctx.savedTensors;
    return gradient.mul(3).mul(x!).mul(x!);
  }
}

interface FactorContext extends autograd.FunctionContext {
  factor: number;
}

/** Two outputs, a·b·factor and exp(a), of two tensors and a number. */
class Mixed extends autograd.Function {
  static forward(ctx: FactorContext, a: Tensor, factor: number, b: Tensor): Tensor[] {
    const exp = a.exp();
    ctx.factor = factor;
    ctx.saveForBackward(a, b, exp);
    return [a.mul(b).mul(factor), exp];
  }

  static backward(ctx: FactorContext, product: Tensor, exp: Tensor): (Tensor | null)[] {
    const [a, b, saved] = ctx.savedTensors;
    const [needsA, needsFactor, needsB] = ctx.needsInputGrad;
    assert.equal(needsFactor, false);
    return [
      needsA ? product.mul(b!).mul(ctx.factor).add(exp.mul(saved!)) : null,
      null,
      needsB ? product.mul(a!).mul(ctx.factor) : null,
    ];
  }
}

/** Compares d(fn)/d(inputs) with central differences, in float64. */
function gradcheck(fn: (...inputs: Tensor[]) => Tensor, inputs: Tensor[]): void {
  const step = 1e-6;
  const analytical = grad(fn(...inputs), inputs);
  for (const [i, input] of inputs.entries()) {
    const values = numbersOf(input);
    const at = (index: number, value: number): number => {
      const moved = tensor(Float64Array.from(values.with(index, value)), { shape: input.shape });
      return fn(...inputs.with(i, moved.requiresGrad_())).item() as number;
    };
    const expected = values.map((value, k) => (at(k, value + step) - at(k, value - step)) / (2 * step));
    for (const [k, value] of numbersOf(analytical[i]!).entries()) {
      assert.ok(Math.abs(value - expected[k]!) < 1e-6 * (1 + Math.abs(value)), `${value} for ${expected[k]}`);
    }
  }
}

const doubles = (...shape: number[]) => randn(shape, { dtype: 'float64' }).requiresGrad_();

describe('autograd.Function', () => {
  testOnBothThreads('analytical and numerical gradients agree, over shapes and broadcasts', () => {
    manualSeed(11);
    scope(() => {
      for (const shape of [[1], [3], [2, 3], [2, 1, 4]]) {
        gradcheck((x) => Cube.apply(x).sum(), [doubles(...shape)]);
        gradcheck(
          (a, b) => {
            const [product, exp] = Mixed.apply(a, 0.7, b);
            return product!.sin().add(Cube.apply(exp!)).sum();
          },
          [doubles(...shape), doubles(...shape)],
        );
      }
    });
  });

  testOnBothThreads('is differentiated twice when its backward is made of recorded operations', () => {
    manualSeed(12);
    scope(() => {
      gradcheck((x) => grad(Cube.apply(x).sum(), x, { createGraph: true })[0]!.sin().sum(), [doubles(2, 3)]);
      const x = leaf(1, 2, 3);
      const [first] = grad(Cube.apply(x).sum(), x, { createGraph: true });
      const [second] = grad(first!.sum(), x, { createGraph: true });
      assert.deepEqual(numbersOf(second!), [6, 12, 18]);
      assert.deepEqual(numbersOf(grad(second!.sum(), x)[0]!), [6, 6, 6]);
    });
  });

  testOnBothThreads('gradients only where they are needed; null for the rest', () => {
    scope(() => {
      const [a, b] = [tensor([2, 3]), leaf(4, 5)];
      const [product, exp] = Mixed.apply(a, 10, b);
      assert.equal(product!.gradFn, 'MixedBackward');
      assert.equal(exp!.gradFn, 'MixedBackward');
      product!.sum().backward();
      assert.deepEqual(numbersOf(b.grad!), [20, 30]);
      assert.equal(a.grad, null);
    });
  });

  test('forward runs without recording; under noGrad and for constants there is no node', () => {
    let recording: boolean | undefined;
    class Probe extends autograd.Function {
      static forward(_: autograd.FunctionContext, x: Tensor): Tensor {
        recording = isGradEnabled();
        return x.mul(2);
      }
      static backward(): null {
        return null;
      }
    }
    scope(() => {
      assert.equal(Probe.apply(leaf(1)).gradFn, 'ProbeBackward');
      assert.equal(recording, false);
      assert.equal(isGradEnabled(), true);
      assert.equal(noGrad(() => Probe.apply(leaf(1))).gradFn, null);
      assert.equal(Probe.apply(ones([1])).requiresGrad, false);
    });
  });

  testOnBothThreads('outputs without gradient: zeros, or null when not materialized', () => {
    const seen: (number[] | null)[] = [];
    class Split extends autograd.Function {
      static forward(ctx: autograd.FunctionContext, x: Tensor, materialize: boolean): Tensor[] {
        ctx.setMaterializeGrads(materialize);
        const count = x.gt(0);
        ctx.markNonDifferentiable(count);
        return [x.mul(2), x.mul(3), count];
      }
      static backward(_: unknown, ...gradients: (Tensor | null)[]): (Tensor | null)[] {
        for (const each of gradients.slice(0, 2)) seen.push(each === null ? null : numbersOf(each));
        return [gradients[1]?.mul(3) ?? null, null];
      }
    }
    scope(() => {
      for (const materialize of [true, false]) {
        const x = leaf(1, -1);
        const [, tripled, count] = Split.apply(x, materialize);
        assert.equal(count!.requiresGrad, false);
        tripled!.sum().backward();
        assert.deepEqual(numbersOf(x.grad!), [3, 3]);
      }
    });
    assert.deepEqual(seen, [[0, 0], [1, 1], null, [1, 1]]);
  });

  testOnBothThreads('an input returned as it is, and one changed in place', () => {
    class Pass extends autograd.Function {
      static forward(_: unknown, x: Tensor): Tensor {
        return x;
      }
      static backward(_: unknown, gradient: Tensor): Tensor {
        return gradient.mul(5);
      }
    }
    class Double extends autograd.Function {
      static forward(ctx: autograd.FunctionContext, x: Tensor): Tensor {
        ctx.markDirty(x);
        return x.mul_(2);
      }
      static backward(_: unknown, gradient: Tensor): Tensor {
        return gradient.mul(2);
      }
    }
    scope(() => {
      const x = leaf(1, 2);
      const passed = Pass.apply(x);
      assert.equal(passed.gradFn, 'PassBackward');
      assert.equal(x.gradFn, null);
      passed.sum().backward();
      assert.deepEqual(numbersOf(x.grad!), [5, 5]);
      x.grad = null;
      const hidden = x.mul(1);
      const doubled = Double.apply(hidden);
      assert.equal(doubled.isSame(hidden), true);
      doubled.mul(hidden).sum().backward();
      assert.deepEqual(numbersOf(x.grad!), [8, 16]);
    });
  });

  testOnBothThreads('saved tensors: changes in place, a second backward, use outside', () => {
    scope(() => {
      const x = leaf(1, 2);
      const hidden = x.mul(2);
      const cube = Cube.apply(hidden).sum();
      cube.backward({ retainGraph: true });
      cube.backward({ retainGraph: true });
      assert.deepEqual(numbersOf(x.grad!), [48, 192]);
      noGrad(() => hidden.add_(1));
      assert.throws(
        () => cube.backward(),
        (error: Error) => {
          assert.match(
            error.message,
            /^one of the variables needed for gradient computation has been modified by an inplace operation/,
          );
          return true;
        },
      );
      const again = Cube.apply(x).sum();
      again.backward();
      assert.throws(
        () => again.backward(),
        (error: Error) => {
          assert.match(error.message, /^Trying to backward through the graph a second time/);
          return true;
        },
      );
      const ctx = new autograd.FunctionContext([]);
      assert.throws(
        () => ctx.savedTensors,
        new TorchError('BAD_ARGUMENT', 'saved tensors are read in backward, while it runs'),
      );
    });
  });

  testOnBothThreads('what backward throws arrives as it was thrown', () => {
    class Failing extends autograd.Function {
      static forward(_: unknown, x: Tensor, __: unknown): Tensor {
        return x.mul(2);
      }
      static backward(_: unknown, __: Tensor): never {
        throw failure;
      }
    }
    let failure: unknown;
    scope(() => {
      for (failure of [new RangeError('mine'), 'a text', 7, null, { code: 'X' }]) {
        let caught: unknown = 'nothing';
        try {
          Cube.apply(Failing.apply(Cube.apply(leaf(1)), null))
            .sum()
            .backward();
        } catch (error) {
          caught = error;
        }
        assert.equal(caught, failure);
      }
    });
    const x = leaf(2);
    scope(() => Cube.apply(x).sum().backward());
    assert.deepEqual(numbersOf(x.grad!), [12]);
  });

  const refused = (code: string, message: string, backward: () => unknown) =>
    testOnBothThreads(`refused: ${message}`, () => {
      class MyOp extends autograd.Function {
        static forward(_: unknown, x: Tensor, __: number): Tensor {
          return x.mul(2);
        }
        static backward(): null {
          return backward() as null;
        }
      }
      scope(() => assert.throws(() => MyOp.apply(leaf(1, 2), 3).sum().backward(), { code, message }));
    });
  refused(
    'TORCH',
    'function MyOpBackward returned an incorrect number of gradients (expected 2, got 1)',
    () => ones([2]),
  );
  refused(
    'TORCH',
    'function MyOpBackward returned an incorrect number of gradients (expected 2, got 3)',
    () => [ones([2]), null, ones([2])],
  );
  refused('TYPE', 'function MyOpBackward: expected Tensor or null (got number)', () => [1, null]);
  refused(
    'TORCH',
    'function MyOpBackward returned a gradient different from null at position 2, but the corresponding ' +
      'forward input was not a Tensor',
    () => [ones([2]), ones([2])],
  );
  refused(
    'TORCH',
    'Function MyOpBackward returned an invalid gradient at index 0 - got [3] but expected shape compatible with [2]',
    () => [ones([3]), null],
  );
  refused(
    'ASYNC_REGION',
    'MyOp.backward: the function is async. Its region is a property of the thread, so other code would run ' +
      'inside it during an await; pass a synchronous function and await outside',
    () => Promise.resolve(null),
  );

  test('refused in forward: async functions, results that are no tensors, saving other things', () => {
    class Async extends autograd.Function {
      static async forward(_: unknown, x: Tensor): Promise<Tensor> {
        return x;
      }
      static backward(): null {
        return null;
      }
    }
    class Bad extends autograd.Function {
      static forward(ctx: autograd.FunctionContext, x: Tensor, what: string): Tensor {
        if (what === 'save') ctx.saveForBackward(3 as never);
        return [x.mul(1), 4] as never;
      }
      static backward(): null {
        return null;
      }
    }
    const text =
      'the function is async. Its region is a property of the thread, so other code would run inside it during ' +
      'an await; pass a synchronous function and await outside';
    scope(() => {
      assert.throws(() => Async.apply(leaf(1)), new TorchError('ASYNC_REGION', `Async.forward: ${text}`));
      assert.throws(
        () => Bad.apply(leaf(1), 'return'),
        new TorchError(
          'TYPE',
          'Bad.forward: expected Tensor or array of Tensor (got number) for return value 1',
        ),
      );
      assert.throws(
        () => Bad.apply(leaf(1), 'save'),
        new TorchError('TYPE', 'saveForBackward can only save tensors, but argument 0 is of type number'),
      );
    });
  });

  testOnBothThreads(
    'backward leaves no tensor and no reference behind, whether or not the graph was used',
    () => {
      const round = (i: number) =>
        scope(() => {
          const x = leaf(1, 2, 3);
          const y = Cube.apply(Cube.apply(x).mul(0.1));
          if (i % 3 !== 0) y.sum().backward();
          if (i % 3 === 2) assert.throws(() => y.sum().backward());
        });
      for (let i = 0; i < 30; i++) round(i);
      memory.collectGarbage();
      const [before, references] = [native().memoryStats(), native().autogradReferences()];
      for (let i = 0; i < 300; i++) round(i);
      memory.collectGarbage();
      assertNothingLeft(before, native().memoryStats());
      assert.equal(native().autogradReferences(), references);
    },
  );

  test('a graph that only the garbage collector frees takes its JavaScript along', async () => {
    const references = native().autogradReferences();
    for (let i = 0; i < 200; i++) Cube.apply(Cube.apply(leaf(1, 2)));
    for (let i = 0; i < 20 && native().autogradReferences() > references; i++) {
      memory.collectGarbage();
      await new Promise(setImmediate);
    }
    assert.equal(native().autogradReferences(), references);
  });

  testOnBothThreads('a tensor kept out of backward lives on', () => {
    let seen: Tensor | undefined;
    class Spy extends autograd.Function {
      static forward(_: unknown, x: Tensor): Tensor {
        return x.mul(1);
      }
      static backward(_: unknown, gradient: Tensor): Tensor {
        seen = keep(gradient);
        return gradient;
      }
    }
    scope(() => Spy.apply(leaf(1, 2)).mul(4).sum().backward());
    assert.deepEqual(numbersOf(seen!), [4, 4]);
  });
});
