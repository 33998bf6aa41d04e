import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  enableGrad,
  grad,
  memory,
  nn,
  noGrad,
  ones,
  scope,
  type Tensor,
  TorchError,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { testOnBothThreads } from './both-threads.ts';

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });

describe('tensor hooks', () => {
  testOnBothThreads('see gradients in the order of registration and replace them', () => {
    scope(() => {
      const x = leaf(1, 2);
      const y = x.mul(3);
      const seen: number[][] = [];
      const see = (gradient: Tensor) => void seen.push(numbersOf(gradient));
      y.registerHook(see);
      y.registerHook((gradient) => gradient.mul(10));
      y.registerHook(see);
      x.registerHook(see);
      x.registerHook(() => null);
      y.sum().backward();
      assert.deepEqual(seen, [
        [1, 1],
        [10, 10],
        [30, 30],
      ]);
      assert.deepEqual(numbersOf(x.grad!), [30, 30]);
    });
  });

  testOnBothThreads('are removed exactly, also while backward runs', () => {
    scope(() => {
      const x = leaf(1);
      const calls: string[] = [];
      const callsOf = () => calls.splice(0).join(' ');
      const first = x.registerHook(() => {
        calls.push('first');
        first.remove();
        second.remove();
        return undefined;
      });
      const second = x.registerHook(() => void calls.push('second'));
      const third = x.registerHook(() => void calls.push('third'));
      x.mul(2).sum().backward();
      assert.equal(callsOf(), 'first third');
      x.mul(2).sum().backward();
      assert.equal(callsOf(), 'third');
      third.remove();
      third.remove();
      x.mul(2).sum().backward();
      assert.equal(callsOf(), '');
    });
  });

  testOnBothThreads('run for grad(), with the sum of all paths, and take part in higher derivatives', () => {
    scope(() => {
      const x = leaf(3);
      const seen: number[][] = [];
      x.registerHook((gradient) => {
        seen.push(numbersOf(gradient));
        return gradient.mul(2);
      });
      const [first] = grad(x.pow(2).add(x.mul(4)).sum(), x, { createGraph: true });
      assert.deepEqual(numbersOf(first!), [20]);
      const [second] = grad(first!, x);
      assert.deepEqual(numbersOf(second!), [8]);
      assert.deepEqual(seen, [[10], [4]]);
    });
  });

  testOnBothThreads('what a hook throws arrives as it was thrown; the next backward is right', () => {
    scope(() => {
      const x = leaf(1);
      const error = new SyntaxError('from the hook');
      const handle = x.registerHook(() => {
        throw error;
      });
      assert.throws(
        () => x.mul(2).sum().backward(),
        (thrown) => thrown === error,
      );
      handle.remove();
      x.mul(2).sum().backward();
      assert.deepEqual(numbersOf(x.grad!), [2]);
    });
  });

  testOnBothThreads('a backward inside a hook', () => {
    scope(() => {
      const [x, other] = [leaf(2), leaf(5)];
      x.registerHook((gradient) => {
        enableGrad(() => other.pow(2).sum().backward());
        return gradient.add(other.grad!);
      });
      x.mul(3).sum().backward();
      assert.deepEqual(numbersOf(x.grad!), [13]);
    });
  });

  testOnBothThreads('after a leaf has accumulated', () => {
    scope(() => {
      const x = leaf(1, 1);
      const seen: number[][] = [];
      const handle = x.registerPostAccumulateGradHook((parameter) => {
        assert.equal(parameter.isSame(x), true);
        seen.push(numbersOf(parameter.grad!));
        if (seen.length === 3) parameter.grad = null;
      });
      x.registerPostAccumulateGradHook(() => void seen.push([]));
      x.mul(3).sum().backward();
      x.mul(3).sum().backward();
      assert.equal(x.grad, null);
      handle.remove();
      x.mul(3).sum().backward();
      assert.deepEqual(seen, [[3, 3], [], [6, 6], [], []].slice(0, seen.length));
      assert.equal(seen.length, 5);
    });
  });

  testOnBothThreads('leave no tensor and no reference behind', () => {
    const weight = leaf(1, 2, 3);
    const round = () =>
      scope(() => {
        const handles = [
          weight.registerHook((g) => g.mul(2)),
          weight.registerPostAccumulateGradHook(() => {}),
        ];
        const y = weight.mul(3);
        y.registerHook((g) => g.add(1));
        y.sum().backward();
        weight.grad = null;
        for (const handle of handles) handle.remove();
      });
    for (let i = 0; i < 30; i++) round();
    memory.collectGarbage();
    const [before, references] = [native().memoryStats(), native().autogradReferences()];
    for (let i = 0; i < 300; i++) round();
    memory.collectGarbage();
    assertNothingLeft(before, native().memoryStats());
    assert.equal(native().autogradReferences(), references);
  });

  testOnBothThreads(
    'refused: no gradient, not a leaf, a changed shape or dtype, results that are no tensor',
    () => {
      scope(() => {
        const needsGrad = "cannot register a hook on a tensor that doesn't require gradient";
        assert.throws(() => ones([1]).registerHook(() => null), { code: 'TORCH', message: needsGrad });
        assert.throws(() => ones([1]).registerPostAccumulateGradHook(() => {}), {
          code: 'TORCH',
          message: needsGrad,
        });
        assert.throws(
          () =>
            leaf(1)
              .mul(2)
              .registerPostAccumulateGradHook(() => {}),
          {
            code: 'TORCH',
            message: 'post accumulate grad hooks cannot be registered on non-leaf tensors',
          },
        );
        const backward = (hook: (gradient: Tensor) => unknown) => () => {
          const x = leaf(1, 2);
          x.registerHook(hook as never);
          x.sum().backward();
        };
        assert.throws(
          backward(function grow() {
            return ones([3]);
          }),
          { code: 'TORCH', message: "hook 'grow' has changed the size of value" },
        );
        assert.throws(
          backward(() => 3),
          new TorchError('TYPE', 'registerHook: expected Tensor or null from the hook, got number'),
        );
        assert.throws(
          backward(() => Promise.resolve()),
          new TorchError(
            'ASYNC_REGION',
            'registerHook: the function is async. Its region is a property of the thread, so other code would run ' +
              'inside it during an await; pass a synchronous function and await outside',
          ),
        );
      });
    },
  );
});

describe('full backward hooks', () => {
  class Scale extends nn.Module {
    readonly factor = new nn.Parameter(tensor([2, 3]));

    override forward(x: Tensor, options: { add: Tensor; note: string }): { sum: Tensor; rest: Tensor[] } {
      assert.equal(options.note, 'kept');
      return { sum: x.mul(this.factor).add(options.add), rest: [x.mul(10)] };
    }
  }

  testOnBothThreads(
    'see the gradients of all input and output tensors, and replace those of the inputs',
    () => {
      scope(() => {
        const module = new Scale();
        const [x, add] = [leaf(1, 1), leaf(5, 5)];
        const seen: (number[] | null)[][] = [];
        const handle = module.registerFullBackwardHook((self, gradInput, gradOutput) => {
          assert.equal(self, module);
          seen.push([...gradInput, ...gradOutput].map((each) => each && numbersOf(each)));
          return gradInput.map((each) => each?.mul(-1) ?? null);
        });
        const { sum, rest } = module.forward(x, { add, note: 'kept' });
        sum.sum().add(rest[0]!.sum()).backward();
        assert.deepEqual(seen.splice(0), [
          [
            [12, 13],
            [1, 1],
            [1, 1],
            [1, 1],
          ],
        ]);
        assert.deepEqual(
          [x, add].map((each) => numbersOf(each.grad!)),
          [
            [-12, -13],
            [-1, -1],
          ],
        );
        assert.deepEqual(numbersOf(module.factor.grad!), [1, 1]);
        module.forward(x, { add, note: 'kept' }).sum.sum().backward();
        assert.deepEqual(seen.splice(0)[0]![3], null);
        handle.remove();
        module.forward(x, { add, note: 'kept' }).sum.sum().backward();
        assert.deepEqual(seen, []);
        assert.equal(Object.hasOwn(module, 'forward'), false);
      });
    },
  );

  testOnBothThreads('run without gradients of inputs when no input requires grad', () => {
    scope(() => {
      const layer = new nn.Linear(2, 1);
      const seen: unknown[] = [];
      layer.registerFullBackwardHook((_, gradInput, gradOutput) => {
        seen.push([gradInput, numbersOf(gradOutput[0]!)]);
        return undefined;
      });
      layer
        .forward(ones([1, 2]))
        .sum()
        .backward();
      assert.deepEqual(seen, [[[null], [1]]]);
      assert.deepEqual(numbersOf(layer.weight.grad!), [1, 1]);
      noGrad(() => layer.forward(ones([1, 2])));
      layer.registerFullBackwardHook(() => [ones([1, 2])]);
      assert.throws(
        () =>
          layer
            .forward(ones([1, 2]))
            .sum()
            .backward(),
        {
          code: 'TORCH',
          message:
            'Backward hook for Modules where no input requires gradient should always return None or None for all gradients.',
        },
      );
    });
  });

  testOnBothThreads('before the module’s own backward replace the gradients of its outputs', () => {
    scope(() => {
      const layer = new nn.Linear(2, 1, { bias: false });
      const seen: number[][] = [];
      const handle = layer.registerFullBackwardPreHook((self, gradOutput) => {
        assert.equal(self, layer);
        return gradOutput.map((gradient) => gradient!.mul(10));
      });
      layer.registerFullBackwardPreHook((_, gradOutput) => {
        seen.push(numbersOf(gradOutput[0]!));
        return undefined;
      });
      layer.registerFullBackwardHook((_, __, gradOutput) => {
        seen.push(numbersOf(gradOutput[0]!));
        return undefined;
      });
      const x = leaf(1, 2);
      layer.forward(x).sum().backward();
      assert.deepEqual(seen.splice(0), [[10], [10]]);
      assert.deepEqual(numbersOf(layer.weight.grad!), [10, 20]);
      handle.remove();
      layer.forward(x).sum().backward();
      assert.deepEqual(seen, [[1], [1]]);
      layer.registerFullBackwardPreHook(() => []);
      assert.throws(() => layer.forward(x).sum().backward(), {
        code: 'TORCH',
        message: 'Backward pre hook returned an invalid number of grad_output, got 0, but expected 1',
      });
    });
  });

  test('refuse another number of gradients', () => {
    scope(() => {
      const layer = new nn.Linear(2, 1);
      layer.registerFullBackwardHook(() => []);
      assert.throws(() => layer.forward(leaf(1, 2)).sum().backward(), {
        code: 'TORCH',
        message: 'Backward hook returned an invalid number of grad_input, got 0, but expected 1',
      });
    });
  });
});
