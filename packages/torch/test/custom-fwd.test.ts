import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  amp,
  autocast,
  autograd,
  cuda,
  type DType,
  enableGrad,
  grad,
  manualSeed,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { testOnBothThreads } from './both-threads.ts';

const devices = ['cpu', 'cuda'] as const;
const skipOf = (device: string) => (device === 'cuda' && !cuda.isAvailable() ? 'needs a CUDA device' : false);
const lowOf = (device: string): DType[] =>
  device === 'cpu' || cuda.isBf16Supported() ? ['bfloat16', 'float16'] : ['float16'];

for (const device of devices) {
  const skip = skipOf(device);

  test(`F1: custom_fwd leaves inputs float32 under autocast, backward sees the same dtype (${device})`, {
    skip,
  }, () => {
    const seen: [boolean, DType][] = [];
    const note = () => seen.push([amp.isAutocastEnabled(device), amp.getAutocastDtype(device)]);
    class MyMM extends autograd.Function {
      static forward = amp.customFwd({ device }, (ctx: autograd.FunctionContext, a: Tensor, b: Tensor) => {
        assert.deepEqual([a.dtype, b.dtype], ['float32', 'float32']);
        note();
        ctx.saveForBackward(a, b);
        return a.mm(b);
      });
      static backward = amp.customBwd((ctx: autograd.FunctionContext, gradient: Tensor) => {
        note();
        const [a, b] = ctx.savedTensors;
        const [gradA, gradB] = [gradient.mm(b!.t()), a!.t().mm(gradient)];
        lowGradients.push(gradA.dtype, gradB.dtype);
        return [gradA, gradB];
      });
    }
    const lowGradients: DType[] = [];
    scope(() => {
      for (const dtype of lowOf(device)) {
        const [x, y] = [randn([8, 8], { device }).requiresGrad_(), randn([8, 8], { device }).requiresGrad_()];
        const output = autocast({ device, dtype }, () => MyMM.apply(x, y));
        assert.equal(output.dtype, dtype);
        output.float().sum().backward();
        assert.deepEqual(seen.splice(0), [
          [true, dtype],
          [true, dtype],
        ]);
        assert.deepEqual(lowGradients.splice(0), [dtype, dtype]);
        assert.deepEqual([x.grad!.dtype, y.grad!.dtype], ['float32', 'float32']);
        MyMM.apply(x, y).sum().backward();
        assert.deepEqual(
          seen.splice(0).map(([enabled]) => enabled),
          [false, false],
        );
        assert.deepEqual(lowGradients.splice(0), ['float32', 'float32']);
      }
    });
  });

  test(`F2: cast_inputs reaches nested containers, autocast off in forward and backward (${device})`, {
    skip,
  }, () => {
    type Container = [string, { inner: Tensor[]; map: Map<string, Tensor>; double: Tensor; flag: boolean }];
    let enabled: boolean[] = [];
    class MyMM extends autograd.Function {
      static forward = amp.customFwd(
        { device, castInputs: 'float32' },
        (ctx: autograd.FunctionContext, a: Tensor, container: Container, expected: DType) => {
          const [name, { inner, map, double, flag }] = container;
          assert.deepEqual([name, flag], ['a text', true]);
          assert.deepEqual(
            [a, inner[0]!, map.get('m')!, double, inner[1]!].map(({ dtype }) => dtype),
            [expected, expected, expected, 'float64', 'int64'],
          );
          enabled.push(amp.isAutocastEnabled(device));
          ctx.saveForBackward(a, inner[0]!);
          return a.mm(inner[0]!);
        },
      );
      static backward = amp.customBwd((ctx: autograd.FunctionContext, gradient: Tensor) => {
        enabled.push(amp.isAutocastEnabled(device));
        const [, b] = ctx.savedTensors;
        return [gradient.mm(b!.t()), null, null];
      });
    }
    scope(() => {
      for (const dtype of lowOf(device)) {
        const x = randn([8, 8], { device, dtype }).requiresGrad_();
        const y = randn([8, 8], { device, dtype });
        const container: Container = [
          'a text',
          {
            inner: [y, zeros([1], { device, dtype: 'int64' })],
            map: new Map([['m', y]]),
            double: zeros([1], { device, dtype: 'float64' }),
            flag: true,
          },
        ];
        enabled = [];
        const inside = autocast({ device, dtype }, () => MyMM.apply(x, container, 'float32'));
        assert.equal(inside.dtype, 'float32');
        inside.sum().backward();
        assert.deepEqual(enabled, [false, false]);
        assert.equal(x.grad!.dtype, dtype);
        const outside = MyMM.apply(x, container, dtype);
        assert.equal(outside.dtype, dtype);
        outside.sum().backward();
        assert.deepEqual(enabled, [false, false, false, false]);
      }
    });
  });
}

testOnBothThreads(
  'F1: recomputation and backward inside a customBwd: the region is restored, backward runs without',
  () => {
    const dtypes: DType[] = [];
    class Recompute extends autograd.Function {
      static forward = amp.customFwd(
        { device: 'cpu' },
        (ctx: autograd.FunctionContext, x: Tensor, w: Tensor) => {
          ctx.saveForBackward(x, w);
          return x.mm(w);
        },
      );
      static backward = amp.customBwd((ctx: autograd.FunctionContext, gradient: Tensor) => {
        const inputs = ctx.savedTensors.map((saved) => saved!.detach().requiresGrad_());
        const output = enableGrad(() => inputs[0]!.mm(inputs[1]!));
        dtypes.push(output.dtype);
        const gradients = grad(output, inputs, { gradOutputs: gradient });
        assert.equal(amp.isAutocastEnabled('cpu'), true);
        return gradients;
      });
    }
    scope(() => {
      manualSeed(3);
      const [x, w] = [randn([4, 4]).requiresGrad_(), randn([4, 4]).requiresGrad_()];
      const gradients = (mm: (a: Tensor, b: Tensor) => Tensor) => {
        const output = autocast({ device: 'cpu' }, () => mm(x, w));
        return grad(output.float().pow(2).sum(), [x, w]).map(numbersOf);
      };
      assert.deepEqual(
        gradients((a, b) => Recompute.apply(a, b)),
        gradients((a, b) => a.mm(b)),
      );
    });
    assert.deepEqual(dtypes, ['bfloat16']);
  },
);

test('customFwd and customBwd say what is missing', () => {
  assert.throws(
    () => amp.customFwd({ device: 'tpu' as never }, (_, x: Tensor) => x),
    new amp.AmpError('VALUE', "customFwd: unknown device 'tpu'; expected 'cpu' or 'cuda'"),
  );
  class Half extends autograd.Function {
    static forward(_: unknown, x: Tensor): Tensor {
      return x.mul(1);
    }
    static backward = amp.customBwd((_: autograd.FunctionContext, gradient: Tensor) => gradient);
  }
  scope(() =>
    assert.throws(
      () =>
        Half.apply(tensor([1], { requiresGrad: true }))
          .sum()
          .backward(),
      new amp.AmpError('RUNTIME', 'customBwd: the forward of this function is not wrapped in customFwd'),
    ),
  );
});
