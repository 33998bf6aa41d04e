import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  autocast,
  type DType,
  functionMode,
  inferenceMode,
  manualSeed,
  memory,
  nn,
  noGrad,
  randn,
  scope,
  type Tensor,
} from '../src/index.ts';
import { assertNothingLeft } from './assert-memory.ts';

type Low = 'bfloat16' | 'float16';

const region = <T>(dtype: Low, fn: () => T): T => autocast({ device: 'cpu', dtype }, fn);

const LAYERS: Record<string, { make: () => nn.Layer; input: () => Tensor }> = {
  Conv1d: { make: () => new nn.Conv1d(2, 3, 3), input: () => randn([2, 2, 8]) },
  Conv2d: { make: () => new nn.Conv2d(2, 3, 3, { padding: 1 }), input: () => randn([2, 2, 8, 8]) },
  ConvTranspose2d: { make: () => new nn.ConvTranspose2d(2, 3, 2), input: () => randn([2, 2, 4, 4]) },
  Linear: { make: () => new nn.Linear(4, 3), input: () => randn([2, 4]) },
};

function frozen(make: () => nn.Layer) {
  manualSeed(2);
  const layer = make();
  layer.requiresGrad_(false);
  return layer;
}

/** What autocast makes of the layer's weights when it casts them at every use. */
const uncached = (layer: nn.Layer, x: Tensor, dtype: Low) =>
  autocast({ device: 'cpu', dtype, cache: false }, () => layer.forward(x));

describe('a frozen layer under autocast', () => {
  for (const [name, { make, input }] of Object.entries(LAYERS)) {
    test(`${name}: the bits of a cast at every use, in both dtypes in turn, with and without gradients`, () => {
      const layer = frozen(make);
      const x = input();
      for (const low of ['bfloat16', 'float16', 'bfloat16'] as const) {
        const expected = uncached(layer, x, low);
        for (const mode of [inferenceMode, noGrad, <T>(fn: () => T) => fn()]) {
          const out = mode(() => region(low, () => layer.forward(x)));
          assert.equal(out.dtype, low);
          assert.equal(out.equal(expected), true);
        }
      }
    });

    test(`${name}: the gradient of its input`, () => {
      const layer = frozen(make);
      inferenceMode(() => region('bfloat16', () => layer.forward(input())));
      const [x, y] = [input().requiresGrad_(), input().requiresGrad_()];
      noGrad(() => y.copy_(x));
      region('bfloat16', () => layer.forward(x))
        .float()
        .sum()
        .backward();
      uncached(layer, y, 'bfloat16').float().sum().backward();
      assert.equal(x.grad!.equal(y.grad!), true);
      assert.equal(layer.parameters()[0]!.grad, null);
    });
  }
});

const EDITS: Record<string, (layer: nn.Conv2d) => void> = {
  'in place': ({ weight }) => void noGrad(() => weight.mul_(2)),
  'in inference mode': ({ weight }) => void inferenceMode(() => weight.mul_(2)),
  'through the state dict': (layer) => void layer.stateDict().weight!.mul_(2),
  'by loading': (layer) => {
    const state = layer.stateDict();
    layer.loadStateDict({ weight: state.weight!.mul(2), bias: state.bias! });
  },
  'by conversion, to float16 and back': (layer) => void layer.half().float(),
  'by conversion of the memory format': (layer) => void layer.to({ memoryFormat: 'channels_last' }),
  'after a thaw, by training': (layer) => {
    layer.requiresGrad_(true);
    region('bfloat16', () =>
      layer
        .forward(randn([1, 2, 8, 8]))
        .float()
        .sum(),
    ).backward();
    noGrad(() => layer.weight.sub_(layer.weight.grad!));
    layer.requiresGrad_(false);
  },
};

for (const [name, edit] of Object.entries(EDITS)) {
  test(`a weight that changes ${name} is cast anew`, () => {
    const layer = frozen(() => new nn.Conv2d(2, 3, 3, { padding: 1 })) as nn.Conv2d;
    const x = randn([2, 2, 8, 8]);
    for (let i = 0; i < 3; i++) {
      region('bfloat16', () => layer.forward(x));
      edit(layer);
      const inside = region('bfloat16', () => layer.forward(x));
      assert.equal(inside.equal(uncached(layer, x, 'bfloat16')), true);
    }
  });
}

describe('where the weight itself is used', () => {
  const layer = frozen(() => new nn.Linear(4, 3));
  const x = randn([2, 4]);
  const full = layer.forward(x);
  const weightDtypes = (): DType[] => {
    const seen: DType[] = [];
    functionMode(
      (_name, args, proceed) => {
        for (const arg of args) if (arg === layer.parameters()[0]) seen.push((arg as Tensor).dtype);
        return proceed(args);
      },
      () => region('bfloat16', () => layer.forward(x)),
    );
    return seen;
  };

  test('in an island', () => {
    region('bfloat16', () => {
      layer.forward(x);
      const island = autocast({ device: 'cpu', enabled: false }, () => layer.forward(x));
      assert.equal(island.equal(full), true);
    });
  });

  test('in a function mode', () => {
    assert.deepEqual(weightDtypes(), ['float32']);
  });

  test('under a rule that gives one operation float32', () => {
    const torch = native();
    const table = torch.newOpPrecision(Float64Array.of(torch.lookup('aten::linear', '').id), ['float32']);
    region('bfloat16', () => {
      layer.forward(x);
      const before = torch.useOpPrecision(table);
      const ruled = layer.forward(x);
      torch.useOpPrecision(before);
      assert.equal(ruled.equal(full), true);
    });
  });

  test('when it is not float32', () => {
    const low = frozen(() => new nn.Linear(4, 3)).bfloat16();
    assert.equal(region('bfloat16', () => low.forward(x)).dtype, 'bfloat16');
  });
});

test('a layer keeps one copy of each weight, half its size, and takes it along', () => {
  const use = () =>
    scope(() => {
      const layer = frozen(() => new nn.Linear(64, 64, { bias: false }));
      const x = randn([2, 64]);
      memory.collectGarbage();
      const before = memory.stats().liveBytes;
      for (let i = 0; i < 3; i++) scope(() => region('bfloat16', () => layer.forward(x)));
      return memory.stats().liveBytes - before;
    });
  const kept = use();
  assert.ok(kept >= 64 * 64 * 2 && kept < 2 * 64 * 64 * 2, `${kept} bytes`);
  memory.collectGarbage();
  const before = memory.stats();
  use();
  memory.collectGarbage();
  assertNothingLeft(before, memory.stats());
});
