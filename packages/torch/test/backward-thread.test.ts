import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { native } from '@mezzo/libtorch';
import {
  autocast,
  autograd,
  checkpoint,
  cuda,
  enableGrad,
  grad,
  manualSeed,
  nn,
  op,
  randn,
  scope,
  type Tensor,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { onBackwardThread, testOnBothThreads } from './both-threads.ts';

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });

class Twice extends autograd.Function {
  static forward(_: unknown, x: Tensor): Tensor {
    return x.mul(2);
  }

  static backward(_: unknown, gradient: Tensor): Tensor {
    return gradient.mul(2);
  }
}

/** A step with hooks, custom functions and checkpoints two deep; returns the gradients. */
function everyKind(model: nn.Sequential, input: Tensor, recompute: typeof checkpoint): number[][] {
  return scope(() => {
    model.zeroGrad();
    const handles = model.parameters().map((parameter) => parameter.registerHook((g) => g.mul(2)));
    const hidden = recompute((x) => Twice.apply(recompute((y) => model.forward(Twice.apply(y)), x)), input);
    hidden.registerHook((g) => g.add(1));
    hidden.pow(2).sum().backward();
    for (const handle of handles) handle.remove();
    return model.parameters().map(({ grad: gradient }) => numbersOf(gradient!));
  });
}

const plainly = ((fn, ...inputs) => fn(...inputs)) as typeof checkpoint;

for (const device of ['cpu', 'cuda']) {
  const skip = device === 'cuda' && !cuda.isAvailable() ? 'needs a CUDA device' : false;
  test(`hooks, custom functions and nested checkpoints, many times over (${device})`, { skip }, () => {
    manualSeed(1);
    const model = new nn.Sequential(new nn.Linear(4, 8), new nn.Sigmoid(), new nn.Linear(8, 2)).to(
      device,
    ) as nn.Sequential;
    const input = randn([3, 4], { device });
    const expected = everyKind(model, input, plainly);
    assert.deepEqual(everyKind(model, input, checkpoint), expected);
    onBackwardThread(() => {
      for (let i = 0; i < 150; i++) assert.deepEqual(everyKind(model, input, checkpoint), expected);
    });
  });

  test(`an error deep inside arrives, and the engine works on (${device})`, { skip }, () => {
    onBackwardThread(() => {
      for (let i = 0; i < 30; i++) {
        scope(() => {
          const x = tensor([1, 2], { requiresGrad: true, device });
          const error = new RangeError(`number ${i}`);
          const failing = checkpoint((a) => {
            const y = Twice.apply(a);
            if (y.requiresGrad) {
              y.registerHook(() => {
                throw error;
              });
            }
            return checkpoint((b) => b.mul(2), y);
          }, x);
          assert.throws(
            () => failing.sum().backward(),
            (thrown) => thrown === error,
          );
          Twice.apply(x).sum().backward();
          assert.deepEqual(numbersOf(x.grad!), [2, 2]);
        });
      }
    });
  });
}

testOnBothThreads('backward nested deeper than the engine runs on one thread', () => {
  let deepest = 0;
  class Nested extends autograd.Function {
    static forward(ctx: autograd.FunctionContext & { level?: number }, x: Tensor, level: number): Tensor {
      ctx.level = level;
      ctx.saveForBackward(x);
      return x.mul(1);
    }

    static backward(ctx: autograd.FunctionContext & { level?: number }, gradient: Tensor): (Tensor | null)[] {
      const level = ctx.level!;
      deepest = Math.max(deepest, level);
      if (level === 80) return [gradient, null];
      const x = ctx.savedTensors[0]!.detach().requiresGrad_();
      const y = enableGrad(() => Nested.apply(x, level + 1).sum());
      return [gradient.add(grad(y, x)[0]!), null];
    }
  }
  scope(() => {
    const x = leaf(1);
    Nested.apply(x, 1).sum().backward();
    assert.equal(deepest, 80);
    assert.deepEqual(numbersOf(x.grad!), [80]);
  });
});

testOnBothThreads('the state of this thread holds in callbacks: grad mode and autocast', () => {
  scope(() => {
    const x = leaf(1, 2);
    const states: unknown[] = [];
    const note = () => states.push([native().gradEnabled(), native().autocastEnabled('cpu')]);
    const y = Twice.apply(x);
    y.registerHook(() => void note());
    grad(y.sum(), x, { createGraph: true });
    grad(y.sum(), x, { retainGraph: true });
    autocast({ device: 'cpu', enabled: false }, () => grad(y.sum(), x));
    assert.deepEqual(states, [
      [true, false],
      [false, false],
      [false, false],
    ]);
    assert.equal(native().gradEnabled(), true);
  });
});

for (const device of ['cpu', 'cuda'] as const) {
  const skip = device === 'cuda' && !cuda.isBf16Supported() ? 'needs a CUDA device with bfloat16' : false;
  test(`A12: forward in bfloat16, backward of index_put on another thread (${device})`, { skip }, () => {
    const indexPut = op('aten::index_put');
    scope(() => {
      manualSeed(2);
      const x = randn([3, 4, 5], { device, dtype: 'bfloat16' }).requiresGrad_();
      const value = randn([1], { device, dtype: 'bfloat16' }).requiresGrad_();
      const index = tensor([0, 2, 2, 1], { dtype: 'int64', device });
      const gradients = () => {
        const loss = autocast({ device, dtype: 'bfloat16' }, () => indexPut(x, [index], value).mean());
        const [a, b] = grad(loss, [x, value]);
        assert.deepEqual([a!.dtype, b!.dtype], ['bfloat16', 'bfloat16']);
        return [numbersOf(a!), numbersOf(b!)];
      };
      const here = gradients();
      assert.deepEqual(onBackwardThread(gradients), here);
      assert.ok(here[1]![0]! > 0.9);
    });
  });
}

test('A12: backward of index_put inside a backward that runs under autocast', () => {
  const indexPut = op('aten::index_put');
  class Inner extends autograd.Function {
    static forward(ctx: autograd.FunctionContext, x: Tensor): Tensor {
      ctx.saveForBackward(x);
      return x.mul(1);
    }

    static backward(ctx: autograd.FunctionContext, gradient: Tensor): Tensor {
      return autocast({ device: 'cpu', dtype: 'bfloat16' }, () => {
        const x = ctx.savedTensors[0]!.detach().requiresGrad_();
        const index = tensor([1], { dtype: 'int64' });
        const y = enableGrad(() => indexPut(x, [index], tensor([4], { dtype: 'bfloat16' })).mul(3));
        return grad(y, x, { gradOutputs: gradient })[0]!;
      });
    }
  }
  onBackwardThread(() =>
    scope(() => {
      const x = tensor([1, 2, 3], { dtype: 'bfloat16', requiresGrad: true });
      Inner.apply(x).sum().backward();
      assert.deepEqual(numbersOf(x.grad!), [3, 0, 3]);
    }),
  );
});

const torch = new URL('../src/index.js', import.meta.url).href;
const libtorch = import.meta.resolve('@mezzo/libtorch');
const program = (inHook: string) => `
  import { tensor, scope } from ${JSON.stringify(torch)};
  import { native } from ${JSON.stringify(libtorch)};
  native().alwaysUseBackwardThread(true);
  const x = tensor([1], { requiresGrad: true });
  x.registerHook(() => { ${inHook} });
  try { x.mul(2).sum().backward(); } catch (error) { console.log(error.message); }
  console.log('after', x.grad?.item());
`;

test('the process ends from within a hook, and with a backward thread that waits', () => {
  const run = (inHook: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program(inHook)], {
      encoding: 'utf8',
      timeout: 30_000,
      cwd: fileURLToPath(new URL('.', import.meta.url)),
    });
  const ended = run('process.exit(7)');
  assert.deepEqual([ended.status, ended.signal, ended.stdout], [7, null, '']);
  const usual = run('');
  assert.deepEqual([usual.status, usual.signal, usual.stdout], [0, null, 'after 2\n']);
});

test('worker threads have backward threads of their own and end with hooks alive', async () => {
  const source = `
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const { tensor, checkpoint, scope } = await import(${JSON.stringify(torch)});
      const { native } = await import(${JSON.stringify(libtorch)});
      native().alwaysUseBackwardThread(true);
      const x = tensor([1, 2], { requiresGrad: true });
      x.registerHook((g) => g.mul(2));
      for (let i = 0; i < 50; i++) scope(() => { x.grad = null; checkpoint((a) => a.mul(3), x).sum().backward(); });
      globalThis.kept = x.mul(2);
      parentPort.postMessage(x.grad.item === undefined ? [] : Array.from(x.grad.toTypedArray()));
    })();
  `;
  const results = await Promise.all(
    Array.from({ length: 2 }, () => {
      const worker = new Worker(source, { eval: true });
      return new Promise((resolve, reject) => {
        worker.once('error', reject);
        worker.once('message', async (message) => {
          await worker.terminate();
          resolve(message);
        });
      });
    }),
  );
  assert.deepEqual(results, [
    [6, 6],
    [6, 6],
  ]);
  onBackwardThread(() => {
    const x = leaf(1);
    x.registerHook((gradient) => gradient.mul(2));
    x.mul(2).sum().backward();
    assert.deepEqual(numbersOf(x.grad!), [4]);
  });
});
