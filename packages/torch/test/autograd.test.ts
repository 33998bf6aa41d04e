import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  arange,
  autocast,
  backward,
  enableGrad,
  grad,
  inferenceMode,
  isGradEnabled,
  noGrad,
  ones,
  type Tensor,
  tensor,
} from '../src/index.ts';
import { assertClose, numbersOf } from './assert-close.ts';

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });

describe('backward', () => {
  test('accumulates analytic gradients', () => {
    const x = leaf(1, 2, 3);
    x.pow(3).sum().backward();
    assert.deepEqual(numbersOf(x.grad!), [3, 12, 27]);
    x.mul(2).sum().backward();
    assert.deepEqual(numbersOf(x.grad!), [5, 14, 29]);
    x.grad = null;
    assert.equal(x.grad, null);
  });

  test('through sigmoid, matmul, indexing and broadcast', () => {
    const x = leaf(0.5, -1);
    x.sigmoid().sum().backward();
    const slope = (v: number) => Math.exp(-v) / (1 + Math.exp(-v)) ** 2;
    assertClose(x.grad!, { shape: [2], data: [slope(0.5), slope(-1)] }, 'sigmoid');
    const w = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    w.matmul(tensor([[5], [6]]))
      .at(1)
      .sum()
      .backward();
    assert.deepEqual(numbersOf(w.grad!), [0, 0, 5, 6]);
    const b = leaf(1);
    ones([4, 3]).mul(b).sum().backward();
    assert.deepEqual(numbersOf(b.grad!), [12]);
  });

  test('a gradient for outputs of more than one element', () => {
    const x = leaf(1, 2);
    x.mul(3).backward({ gradient: tensor([1, 10]) });
    assert.deepEqual(numbersOf(x.grad!), [3, 30]);
    assert.throws(() => leaf(1, 2).mul(3).backward(), {
      message: 'grad can be implicitly created only for scalar outputs',
    });
  });

  test('the graph is gone after a backward, unless it is retained', () => {
    const x = leaf(2);
    const y = x.mul(x);
    y.backward({ retainGraph: true });
    y.backward();
    assert.deepEqual(numbersOf(x.grad!), [8]);
    assert.throws(
      () => y.backward(),
      (error: Error) => error.message.startsWith('Trying to backward through the graph a second time'),
    );
  });

  test('into chosen leaves only', () => {
    const [x, y] = [leaf(2), leaf(3)];
    backward([x.mul(y)], { inputs: [y] });
    assert.equal(x.grad, null);
    assert.deepEqual(numbersOf(y.grad!), [2]);
  });

  test('in-place changes of what backward needs are noticed', () => {
    const x = leaf(1, 2);
    const y = x.exp();
    const z = y.mul(y).sum();
    y.add_(1);
    assert.throws(
      () => z.backward(),
      (error: Error) =>
        error.message.startsWith(
          'one of the variables needed for gradient computation has been modified by an inplace',
        ),
    );
    assert.throws(() => x.add_(1), {
      message: 'a leaf Variable that requires grad is being used in an in-place operation.',
    });
  });

  test('in-place on a view reaches the base', () => {
    const x = leaf(1, 2, 3);
    const y = x.mul(1);
    y.narrow(0, 0, 2).mul_(10);
    y.sum().backward();
    assert.deepEqual(numbersOf(x.grad!), [10, 10, 1]);
  });
});

describe('grad', () => {
  test('leaves .grad alone', () => {
    const x = leaf(3);
    const [dx] = grad(x.pow(2).sum(), x);
    assert.deepEqual(numbersOf(dx!), [6]);
    assert.equal(x.grad, null);
  });

  test('second derivatives', () => {
    const x = leaf(2);
    const [first] = grad(x.pow(4).sum(), x, { createGraph: true });
    const [second] = grad(first!.sum(), x);
    assert.deepEqual([numbersOf(first!), numbersOf(second!)], [[32], [48]]);
  });

  test('inputs without influence are an error, or null when allowed', () => {
    const [x, y] = [leaf(1), leaf(1)];
    assert.throws(
      () => grad(x.mul(2), [x, y]),
      (error: Error) =>
        error.message.endsWith(
          'of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if ' +
            'this is the desired behavior.',
        ),
    );
    const [dx, dy] = grad(x.mul(2), [x, y], { allowUnused: true });
    assert.deepEqual(numbersOf(dx!), [2]);
    assert.equal(dy, null);
  });

  test('gradOutputs must pair with the outputs', () => {
    const x = leaf(1, 2);
    const [dx] = grad(x.mul(3), x, { gradOutputs: tensor([1, 2]) });
    assert.deepEqual(numbersOf(dx!), [3, 6]);
    assert.throws(() => grad([x.mul(3)], x, { gradOutputs: [ones([2]), ones([2])] }), {
      code: 'BAD_ARGUMENT',
      message: 'grad: 1 outputs but 2 gradOutputs; give one for each output',
    });
  });
});

describe('modes', () => {
  test('noGrad and enableGrad nest and are restored, also by an error', () => {
    const x = leaf(1);
    assert.equal(isGradEnabled(), true);
    noGrad(() => {
      assert.equal(x.mul(2).requiresGrad, false);
      enableGrad(() => assert.equal(x.mul(2).requiresGrad, true));
      assert.equal(isGradEnabled(), false);
    });
    assert.throws(() =>
      noGrad(() => {
        throw new Error('mine');
      }),
    );
    assert.equal(isGradEnabled(), true);
  });

  test('inferenceMode makes tensors that never take part in autograd', () => {
    const x = leaf(1);
    const y = inferenceMode(() => x.mul(2));
    assert.equal(native().isInference(y.handle), true);
    assert.equal(y.requiresGrad, false);
    assert.throws(
      () => x.mul(y),
      (error: Error) => error.message.startsWith('Inference tensors cannot be saved for backward.'),
    );
    assert.equal(x.mul(2).requiresGrad, true);
  });

  for (const [name, region] of Object.entries({ noGrad, enableGrad, inferenceMode })) {
    test(`${name} refuses async functions`, () => {
      assert.throws(() => region(async () => 1), {
        code: 'ASYNC_REGION',
        message:
          `${name}: the function is async. Its region is a property of the thread, so other code would run ` +
          'inside it during an await; pass a synchronous function and await outside',
      });
      assert.equal(isGradEnabled(), true);
    });
  }

  test('a weight cast in noGrad inside autocast is not reused with gradients on', () => {
    const weight = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    const input = ones([1, 2]);
    const loss = autocast({ device: 'cpu', dtype: 'bfloat16' }, () => {
      noGrad(() => input.matmul(weight));
      return input.matmul(weight).sum();
    });
    loss.backward();
    assert.deepEqual(numbersOf(weight.grad!), [1, 1, 1, 1]);
  });
});

describe('leaves and graph', () => {
  test('what a tensor says about itself', () => {
    const x = leaf(1);
    const y = x.mul(x);
    assert.deepEqual([x.isLeaf, y.isLeaf], [true, false]);
    assert.deepEqual([x.gradFn, y.gradFn], [null, 'MulBackward0']);
    assert.equal(y.detach().requiresGrad, false);
    assert.equal(y.detach().sharesStorage(y), true);
    const plain: Tensor = tensor([1]);
    plain.requiresGrad = true;
    assert.equal(plain.requiresGrad, true);
    assert.throws(() => arange(3).requiresGrad_(), {
      message: 'Only Tensors of floating point and complex dtype can require gradients',
    });
  });

  test('a gradient can be set', () => {
    const x = leaf(1, 2);
    x.grad = tensor([5, 6]);
    x.mul(1).sum().backward();
    assert.deepEqual(numbersOf(x.grad!), [6, 7]);
  });
});
