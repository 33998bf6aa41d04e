import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  checkpoint,
  checkpointSequential,
  grad,
  manualSeed,
  memory,
  noGrad,
  ones,
  randn,
  scope,
  setWarningHandler,
  type Tensor,
  TorchError,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { assertNothingLeft } from './assert-memory.ts';
import { testOnBothThreads } from './both-threads.ts';
import { everything, network } from './checkpoint-network.ts';

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });

describe('checkpoint', () => {
  testOnBothThreads('gives the gradients of a plain run bit for bit, dropout and all', () => {
    scope(() => {
      for (const requiresGrad of [true, false]) {
        const model = network();
        const input = randn([4, 6]).requiresGrad_(requiresGrad);
        const plain = everything(model, input, () => model.forward(input));
        for (const segments of [1, 2, 3, 4, 6]) {
          const forward = () => checkpointSequential(model, segments, input);
          assert.deepEqual(everything(model, input, forward), plain);
        }
        const nested = () =>
          checkpoint((x) => checkpoint((y) => checkpoint((z) => model.forward(z), y).mul(1), x), input);
        assert.deepEqual(everything(model, input, nested), plain);
      }
    });
  });

  testOnBothThreads('the generators end where a plain run leaves them', () => {
    scope(() => {
      const x = leaf(1, 2, 3);
      const after = (run: (fn: (x: Tensor) => Tensor) => Tensor) => {
        manualSeed(9);
        run((y) => y.mul(randn([3])))
          .sum()
          .backward();
        return numbersOf(randn([2]));
      };
      assert.deepEqual(
        after((fn) => checkpoint(fn, x)),
        after((fn) => fn(x)),
      );
    });
  });

  testOnBothThreads('grad(), chosen inputs, retained graphs and second derivatives', () => {
    scope(() => {
      const [x, w] = [leaf(1, 2), leaf(3, 4)];
      const fn = (a: Tensor) => a.pow(2).mul(w).exp().mul(0.01);
      const second = (run: () => Tensor) => {
        const first = grad(run().sum(), [x, w], { createGraph: true });
        const again = grad(first[0]!.sum().add(first[1]!.pow(2).sum()), [x, w]);
        return [...first, ...again].map(numbersOf);
      };
      assert.deepEqual(
        second(() => checkpoint(fn, x)),
        second(() => fn(x)),
      );
      assert.deepEqual(numbersOf(grad(checkpoint(fn, x).sum(), w)[0]!), numbersOf(grad(fn(x).sum(), w)[0]!));
      const output = checkpoint(fn, x).sum();
      output.backward({ retainGraph: true, inputs: [x] });
      const once = numbersOf(x.grad!);
      assert.equal(w.grad, null);
      output.backward({ inputs: [x] });
      assert.deepEqual(
        numbersOf(x.grad!),
        once.map((value) => 2 * value),
      );
      assert.throws(
        () => output.backward(),
        (error: Error) => {
          assert.match(error.message, /^Trying to backward through the graph a second time/);
          return true;
        },
      );
    });
  });

  testOnBothThreads('nested inputs and outputs, what is closed over, outputs that are inputs', () => {
    scope(() => {
      const [x, y, captured, earlier] = [leaf(1, 2), leaf(3, 4), leaf(5, 6), leaf(7, 8).mul(2)];
      const fn = (inputs: { pair: Tensor[]; map: Map<string, Tensor> }, factor: number) => ({
        outputs: [inputs.pair[0]!.mul(inputs.map.get('y')!).mul(captured), inputs.pair[1]!],
        more: new Map([['m', earlier.mul(factor)]]),
        constant: ones([2]),
        note: 'kept',
      });
      const run = (call: typeof fn) => {
        const result = call({ pair: [x, captured], map: new Map([['y', y]]) }, 3);
        assert.equal(result.note, 'kept');
        assert.equal(result.constant.requiresGrad, false);
        const sum = result.outputs[0]!.add(result.outputs[1]!.mul(2)).add(result.more.get('m')!).sum();
        return grad(sum, [x, y, captured, earlier], { retainGraph: true }).map(numbersOf);
      };
      assert.deepEqual(
        run((...inputs) => checkpoint(fn, ...inputs)),
        run(fn),
      );
    });
  });

  testOnBothThreads('hooks on what is used run once, with the whole gradient', () => {
    scope(() => {
      const [x, w] = [leaf(1, 2), leaf(3, 4)];
      const seen: number[][] = [];
      const hidden = x.mul(2);
      hidden.registerHook((gradient) => {
        seen.push(numbersOf(gradient));
        return gradient.mul(10);
      });
      w.registerHook((gradient) => void seen.push(numbersOf(gradient)));
      const accumulated: number[][] = [];
      w.registerPostAccumulateGradHook((leafOf) => void accumulated.push(numbersOf(leafOf.grad!)));
      checkpoint((h) => h.mul(w), hidden)
        .add(hidden)
        .add(w)
        .sum()
        .backward();
      assert.deepEqual(
        seen.sort((a, b) => a[0]! - b[0]!),
        [
          [3, 5],
          [4, 5],
        ],
      );
      assert.deepEqual(numbersOf(x.grad!), [80, 100]);
      assert.deepEqual(accumulated, [[3, 5]]);
    });
  });

  test('holds no result of its function until backward', () => {
    scope(() => {
      const x = randn([64, 64]).requiresGrad_();
      const deep = (a: Tensor) => {
        let y = a;
        for (let i = 0; i < 20; i++) y = y.sigmoid();
        return y;
      };
      const bytes = (run: () => Tensor) => {
        const before = native().memoryStats().liveBytes;
        const output = scope(run);
        const bytes = native().memoryStats().liveBytes - before;
        output.dispose();
        return bytes;
      };
      const plain = bytes(() => deep(x));
      const saved = bytes(() => checkpoint(deep, x));
      assert.ok(plain >= 20 * 64 * 64 * 4, `${plain} bytes`);
      assert.ok(saved < 2 * 64 * 64 * 4, `${saved} bytes`);
    });
  });

  testOnBothThreads('leaves no tensor and no reference behind', () => {
    const model = network();
    const input = randn([4, 6]);
    const round = (i: number) =>
      scope(() => {
        const output = checkpoint((x) => checkpointSequential(model, 3, x), input);
        if (i % 3 !== 0) output.sum().backward();
        model.zeroGrad();
      });
    for (let i = 0; i < 20; i++) round(i);
    memory.collectGarbage();
    const [before, references] = [native().memoryStats(), native().autogradReferences()];
    for (let i = 0; i < 200; i++) round(i);
    memory.collectGarbage();
    assertNothingLeft(before, native().memoryStats());
    assert.equal(native().autogradReferences(), references);
  });

  test('says when there is nothing to differentiate; runs plainly without grad mode', () => {
    const warnings: string[] = [];
    const previous = setWarningHandler(({ code, message }) => warnings.push(`${code}: ${message}`));
    try {
      scope(() => {
        assert.equal(checkpoint((x) => x.mul(2), ones([1])).requiresGrad, false);
        assert.deepEqual(warnings.splice(0), [
          'CHECKPOINT_WITHOUT_GRAD: None of the inputs have requires_grad=True. Gradients will be None',
        ]);
        assert.equal(noGrad(() => checkpoint((x) => x.mul(2), leaf(1))).requiresGrad, false);
        assert.deepEqual(warnings, []);
      });
    } finally {
      setWarningHandler(previous);
    }
  });

  testOnBothThreads('a second run that differs is an error, not a wrong gradient', () => {
    scope(() => {
      const [x, w] = [leaf(1, 2), leaf(3, 4)];
      const again = 'The function must do the same each time it runs';
      const differing = (
        first: (x: Tensor) => Tensor | Tensor[],
        second: (x: Tensor) => Tensor | Tensor[],
      ) => {
        let runs = 0;
        const output = checkpoint((a) => (runs++ === 0 ? first : second)(a), x);
        return () => (Array.isArray(output) ? output[0]! : output).sum().backward();
      };
      assert.throws(
        differing(
          (a) => a.mul(2),
          (a) => a.mul(2).sum().reshape([1]),
        ),
        {
          code: 'TORCH',
          message: `checkpoint: output 0 of the recomputation is Float [1] on cpu, but the forward pass gave Float [2] on cpu. ${again}`,
        },
      );
      assert.throws(
        differing(
          (a) => a.mul(2),
          (a) => a.mul(2).double(),
        ),
        {
          code: 'TORCH',
          message: `checkpoint: output 0 of the recomputation is Double [2] on cpu, but the forward pass gave Float [2] on cpu. ${again}`,
        },
      );
      assert.throws(
        differing(
          (a) => a.mul(w),
          (a) => a.mul(2),
        ),
        {
          code: 'TORCH',
          message:
            'checkpoint: the recomputation used other tensors with gradient than the forward pass did ' +
            `(1 of them, then 2). ${again}`,
        },
      );
      assert.throws(
        differing(
          (a) => [a.mul(2), a.mul(3)],
          (a) => a.mul(2),
        ),
        {
          code: 'TORCH',
          message: `checkpoint: the recomputation gave 1 outputs with gradient, but the forward pass 2. ${again}`,
        },
      );
      const error = new Error('only the second time');
      assert.throws(
        differing(
          (a) => a.mul(2),
          () => {
            throw error;
          },
        ),
        (thrown) => thrown === error,
      );
      assert.equal(x.grad, null);
    });
  });

  test('refused: async functions, segments that do not fit, inputs changed in place', async () => {
    assert.throws(
      () => checkpoint(async (x: Tensor) => x, leaf(1)),
      new TorchError(
        'ASYNC_REGION',
        'checkpoint: the function is async. Its region is a property of the thread, so other code would run inside ' +
          'it during an await; pass a synchronous function and await outside',
      ),
    );
    for (const segments of [0, 7, 1.5]) {
      assert.throws(
        () => checkpointSequential(network(), segments, ones([1, 6])),
        new TorchError(
          'BAD_ARGUMENT',
          `checkpointSequential: 6 steps cannot be cut into ${segments} segments`,
        ),
      );
    }
    scope(() => {
      const hidden = leaf(1, 2).mul(2);
      const output = checkpoint((x) => x.mul(3), hidden).sum();
      noGrad(() => hidden.add_(1));
      assert.throws(
        () => output.backward(),
        (error: Error) => {
          assert.match(
            error.message,
            /^one of the variables needed for gradient computation has been modified by an inplace operation/,
          );
          return true;
        },
      );
    });
  });
});
