import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nn, ones, scope, type Tensor, TorchError } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

class Double extends nn.Layer {
  override forward(input: Tensor): Tensor {
    return input.mul(2);
  }
}

class Pair extends nn.Layer {
  readonly first = new Double();
  readonly second = new nn.Linear(2, 2);

  override forward(input: Tensor): Tensor {
    return this.first.forward(input);
  }
}

const onForward = (model: nn.Module, input: Tensor) => (model.forward as nn.Forward)(input) as Tensor;

describe('forward hooks', () => {
  test('the last wrapper is outermost and encloses the hooks, which run in order', () => {
    const layer = new Double();
    const order: string[] = [];
    const wrap =
      (name: string): nn.ForwardWrapper =>
      (proceed, inputs) => {
        order.push(`${name} in`);
        const output = proceed(...inputs);
        order.push(`${name} out`);
        return output;
      };
    layer.registerForwardHook(() => void order.push('after 1'));
    layer.aroundForward(wrap('inner'));
    layer.registerForwardPreHook(() => void order.push('before 1'));
    layer.aroundForward(wrap('outer'));
    layer.registerForwardPreHook(() => void order.push('before 2'));
    layer.registerForwardHook(() => void order.push('after 2'));
    scope(() => layer.forward(ones([2])));
    assert.deepEqual(order, [
      'outer in',
      'inner in',
      'before 1',
      'before 2',
      'after 1',
      'after 2',
      'inner out',
      'outer out',
    ]);
  });

  test('hooks change inputs and outputs, of a child that its parent calls directly', () => {
    scope(() => {
      const pair = new Pair();
      pair.first.registerForwardPreHook((_, [x]) => [(x as Tensor).add(1)]);
      pair.first.registerForwardHook((module, inputs, output) => {
        assert.equal(module, pair.first);
        assert.deepEqual(numbersOf(inputs[0] as Tensor), [2, 2]);
        return (output as Tensor).add(10);
      });
      pair.first.registerForwardHook(() => undefined);
      assert.deepEqual(numbersOf(pair.forward(ones([2]))), [14, 14]);
    });
  });

  test('removing the last hook restores the instance exactly', () => {
    scope(() => {
      const layer = new Double();
      const around = layer.aroundForward((proceed, inputs) => (proceed(...inputs) as Tensor).add(1));
      const after = layer.registerForwardHook((_, __, output) => (output as Tensor).add(5));
      assert.deepEqual(numbersOf(layer.forward(ones([1]))), [8]);
      around.remove();
      around.remove();
      assert.deepEqual(numbersOf(layer.forward(ones([1]))), [7]);
      after.remove();
      assert.equal(Object.hasOwn(layer, 'forward'), false);
      assert.equal(layer.forward, Double.prototype.forward);
      assert.deepEqual(numbersOf(layer.forward(ones([1]))), [2]);
    });
  });

  test("an instance's own forward comes back with its property", () => {
    const layer = new Double();
    const own = (input: Tensor) => input.add(3);
    layer.forward = own;
    const before = Object.getOwnPropertyDescriptor(layer, 'forward');
    const handle = layer.aroundForward((proceed, inputs) => proceed(...inputs));
    assert.notEqual(layer.forward, own);
    scope(() => assert.deepEqual(numbersOf(onForward(layer, ones([1]))), [4]));
    handle.remove();
    assert.deepEqual(Object.getOwnPropertyDescriptor(layer, 'forward'), before);
  });

  test('a hook may remove itself and others during the call', () => {
    const layer = new Double();
    let calls = 0;
    const handle = layer.registerForwardHook(() => {
      calls++;
      handle.remove();
      other.remove();
    });
    const other = layer.registerForwardHook(() => void calls++);
    scope(() => {
      layer.forward(ones([1]));
      layer.forward(ones([1]));
    });
    assert.equal(calls, 2);
  });

  test('hooks are no part of the tree, the state or the printed module', () => {
    const [plain, hooked] = [new Pair(), new Pair()];
    for (const module of hooked.modules()) module.aroundForward((proceed, inputs) => proceed(...inputs));
    assert.deepEqual(Object.keys(hooked), Object.keys(plain));
    assert.deepEqual(Object.keys(hooked.stateDict()), Object.keys(plain.stateDict()));
    assert.equal(hooked.toString(), plain.toString());
  });

  test('a hook that throws leaves the module usable', () => {
    const layer = new Double();
    const handle = layer.registerForwardPreHook(() => {
      throw new Error('not today');
    });
    scope(() => {
      assert.throws(() => layer.forward(ones([1])), /^Error: not today$/);
      handle.remove();
      assert.deepEqual(numbersOf(layer.forward(ones([1]))), [2]);
    });
  });

  test('a pre-hook returns an array of inputs or nothing', () => {
    const layer = new Double();
    layer.registerForwardPreHook(((_: nn.Module, [x]: unknown[]) => x) as nn.ForwardPreHook);
    scope(() =>
      assert.throws(
        () => layer.forward(ones([1])),
        new TorchError(
          'BAD_ARGUMENT',
          'registerForwardPreHook: the hook returned Tensor; return an array with all inputs, or nothing',
        ),
      ),
    );
  });
});
