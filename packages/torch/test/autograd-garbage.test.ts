import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { autograd, checkpoint, memory, ones, type Tensor } from '../src/index.ts';

const leaf = () => ones([256]).requiresGrad_();

class Scale extends autograd.Function {
  static forward(_: unknown, x: Tensor): Tensor {
    return x.mul(2);
  }
  static backward(_: unknown, gradient: Tensor): Tensor {
    return gradient.mul(2);
  }
}

class Twofold extends autograd.Function {
  static forward(ctx: autograd.FunctionContext, x: Tensor): [Tensor, Tensor] {
    const constant = x.detach().mul(3);
    ctx.markNonDifferentiable(constant);
    return [x.mul(2), constant];
  }
  static backward(_: unknown, gradient: Tensor): Tensor {
    return gradient.mul(2);
  }
}

class Doubled extends autograd.Function {
  static forward(ctx: autograd.FunctionContext, x: Tensor): Tensor {
    x.mul_(2);
    ctx.markDirty(x);
    return x;
  }
  static backward(_: unknown, gradient: Tensor): Tensor {
    return gradient.mul(2);
  }
}

/** Lets finalizers run, which free tensors that only forgotten objects held. */
async function settle(done: () => boolean): Promise<void> {
  for (let i = 0; i < 20 && !done(); i++) {
    memory.collectGarbage();
    await new Promise(setImmediate);
  }
}

describe('outside every scope, what is forgotten is freed', () => {
  const CASES: Record<string, () => unknown> = {
    'a custom function': () => Scale.apply(leaf()),
    'one with an output that is a constant': () => Twofold.apply(leaf()),
    'one that changes its input in place': () => Doubled.apply(leaf().mul(1)),
    'a checkpoint': () => checkpoint((x: Tensor) => x.mul(2).sigmoid(), leaf()),
    'a checkpoint of several results': () =>
      checkpoint((x: Tensor) => ({ a: x.mul(2), b: [x.sigmoid()] }), leaf()),
    'a hook': () =>
      leaf()
        .mul(2)
        .registerHook((gradient) => gradient.mul(2)),
  };
  for (const [name, make] of Object.entries(CASES)) {
    test(name, async () => {
      make();
      await settle(() => false);
      const counts = () => [native().autogradReferences(), native().memoryStats().liveTensors] as const;
      const [references, tensors] = counts();
      for (let i = 0; i < 20; i++) make();
      await settle(() => counts()[0] <= references && counts()[1] <= tensors);
      assert.deepEqual(counts(), [references, tensors], 'references to JavaScript, tensors');
    });
  }
});

describe('a graph holds its inputs no longer than backward needs them', () => {
  const CASES: Record<string, (x: Tensor) => Tensor> = {
    'a custom function that saves nothing': (x) => Scale.apply(x),
    'a checkpoint, once backward has run': (x) => {
      const y = checkpoint((a: Tensor) => a.mul(2), x);
      y.sum().backward();
      return y;
    },
  };
  for (const [name, make] of Object.entries(CASES)) {
    test(name, async () => {
      const held: Tensor[] = [];
      const bytes = () => native().memoryStats().liveBytes;
      // The weight keeps the graph; the input is forgotten.
      const weight = leaf();
      held.push(make(weight.mul(1)));
      await settle(() => false);
      const before = bytes();
      held.push(make(weight.mul(1)));
      await settle(() => false);
      assert.ok(bytes() - before < 2 * 256 * 4, `${bytes() - before} bytes for a result of ${256 * 4}`);
      assert.equal(held.length, 2);
    });
  }
});
