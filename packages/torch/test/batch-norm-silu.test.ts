import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import {
  backends,
  type DType,
  functionMode,
  grad,
  manualSeed,
  memory,
  nn,
  noGrad,
  rand,
  randn,
  scope,
  slice,
  type Tensor,
  tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

afterEach(() => {
  backends.fusedKernels.enabled = true;
});

interface Pass {
  y: Tensor;
  dx: Tensor;
  dWeight: Tensor;
  dBias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

/** Weight, bias and running statistics that are not the initial ones. */
function layerOf(channels: number, dtype: DType = 'float32'): nn.BatchNorm2d {
  manualSeed(7);
  const bn = new nn.BatchNorm2d(channels, { eps: 1e-3, momentum: 0.03 });
  noGrad(() => {
    bn.weight!.copy_(randn([channels]));
    bn.bias!.copy_(randn([channels]));
    bn.runningMean!.copy_(randn([channels]));
    bn.runningVar!.copy_(rand([channels]));
  });
  return dtype === 'float64' ? bn.to('float64') : bn;
}

function pass(bn: nn.BatchNorm2d, input: Tensor, dy: Tensor, silu: (x: Tensor) => Tensor): Pass {
  const x = input.detach();
  x.requiresGrad = true;
  const y = silu(x);
  y.backward({ gradient: dy });
  const [weight, bias] = [bn.weight!, bn.bias!];
  return {
    y: y.detach(),
    dx: x.grad!,
    dWeight: weight.grad!,
    dBias: bias.grad!,
    runningMean: bn.runningMean!,
    runningVar: bn.runningVar!,
  };
}

const fusedPass = (x: Tensor, dy: Tensor): Pass => {
  const bn = layerOf(x.shape[1]!);
  return pass(bn, x, dy, (input) => bn.forwardSilu(input));
};

/** The separate operators, in float64. */
const exactPass = (x: Tensor, dy: Tensor): Pass => {
  const bn = layerOf(x.shape[1]!, 'float64');
  return pass(bn, x.double(), dy.double(), (input) => nn.functional.silu(bn.forward(input)));
};

const separatePass = (x: Tensor, dy: Tensor): Pass => {
  const bn = layerOf(x.shape[1]!);
  return pass(bn, x, dy, (input) => nn.functional.silu(bn.forward(input)));
};

const picture = (shape: readonly number[], dtype: DType, spread = 3, mean = 2): Tensor =>
  randn([...shape])
    .mul(spread)
    .add(mean)
    .to({ dtype, memoryFormat: 'channels_last' });

/** Largest distance of two tensors as a part of the largest magnitude of the second. */
const distance = (a: Tensor, b: Tensor): number =>
  Number(a.double().sub(b.double()).abs().max().item()) / Number(b.double().abs().max().item());

/** [N, C, H, W]: one vector of channels, several, parts of one, several threads' worth of rows. */
const SHAPES = [
  [2, 16, 7, 5],
  [1, 32, 64, 64],
  [3, 5, 4, 4],
  [2, 8, 9, 3],
  [2, 24, 9, 8],
  [2, 47, 6, 6],
  [2, 1, 5, 5],
  [4, 96, 3, 1],
  [16, 12, 1, 1],
];

/** Parts of the largest magnitude; a bfloat16 has 8 bits of precision. */
const BANDS = { float32: 4e-6, bfloat16: 2 ** -8 } as const;

for (const dtype of ['float32', 'bfloat16'] as const) {
  test(`value, gradients and running statistics, ${dtype}, against the separate operators in float64`, () => {
    for (const shape of SHAPES) {
      scope(() => {
        manualSeed(1);
        const x = picture(shape, dtype);
        const dy = picture(shape, dtype, 1, 0.1);
        const [fused, separate, exact] = [fusedPass(x, dy), separatePass(x, dy), exactPass(x, dy)];
        assert.equal(fused.y.dtype, dtype);
        assert.equal(fused.dx.dtype, dtype);
        assert.ok(fused.y.isContiguous('channels_last'));
        for (const key of Object.keys(exact) as (keyof Pass)[]) {
          const [apart, theirs] = [distance(fused[key], exact[key]), distance(separate[key], exact[key])];
          // Only value and input gradient are rounded to the dtype of the input; sums are as good as separate ones.
          const band = key === 'y' || key === 'dx' ? BANDS[dtype] : Math.max(BANDS.float32, theirs);
          assert.ok(apart <= band, `${shape} ${key}: ${apart}, the separate operators ${theirs}`);
        }
      });
    }
  });
}

test('a mean far from zero costs no precision', () => {
  scope(() => {
    manualSeed(2);
    const x = picture([2, 16, 16, 16], 'float32', 1, 1000);
    const dy = picture([2, 16, 16, 16], 'float32', 1, 0);
    const [fused, separate, exact] = [fusedPass(x, dy), separatePass(x, dy), exactPass(x, dy)];
    for (const key of ['y', 'dx', 'dWeight', 'runningVar'] as const) {
      const [ours, theirs] = [distance(fused[key], exact[key]), distance(separate[key], exact[key])];
      assert.ok(ours <= 2 * theirs + 1e-6, `${key}: ${ours}, the separate operators ${theirs}`);
    }
  });
});

test('a gradient that is a part of a wider one, or laid out otherwise', () => {
  scope(() => {
    manualSeed(3);
    const shape = [2, 16, 6, 10];
    const x = picture(shape, 'float32');
    const wide = picture([2, 48, 6, 10], 'float32', 1, 0);
    const part = wide.at(slice(), slice(16, 32));
    assert.deepEqual(part.stride(), [2880, 1, 480, 48]);
    const dense = part.contiguous({ memoryFormat: 'channels_last' });
    const expected = fusedPass(x, dense);
    for (const [what, dy] of [
      ['part', part],
      ['contiguous', part.contiguous()],
      ['expanded', tensor(1).expand(shape)],
    ] as const) {
      const wanted =
        what === 'expanded' ? fusedPass(x, dy.contiguous({ memoryFormat: 'channels_last' })) : expected;
      const given = fusedPass(x, dy);
      for (const key of ['dx', 'dWeight', 'dBias'] as const)
        assert.deepEqual(numbersOf(given[key]), numbersOf(wanted[key]), `${what} ${key}`);
    }
  });
});

test('what is not finite stays so, in both directions and in the running statistics', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    for (const dtype of ['float32', 'bfloat16'] as const) {
      scope(() => {
        const x = picture([2, 16, 4, 4], dtype);
        const dy = picture([2, 16, 4, 4], dtype);
        const broken = x.clone();
        broken.put([1, 3, 2, 2], bad);
        const { y, dx, runningMean, runningVar } = fusedPass(broken, dy);
        for (const t of [y, dx]) {
          assert.ok(!Number.isFinite(t.at(1, 3, 2, 2).item()), `${bad} ${dtype}`);
          assert.ok(t.at(slice(), slice(4)).isfinite().all().item(), 'other channels');
        }
        assert.ok(!Number.isFinite(runningMean.at(3).item()) && !Number.isFinite(runningVar.at(3).item()));
        const late = dy.clone();
        late.put([0, 5, 1, 1], bad);
        const given = fusedPass(x, late);
        for (const t of [given.dWeight.at(5), given.dBias.at(5), given.dx.at(0, 5, 1, 1)])
          assert.ok(!Number.isFinite(t.item()), `gradient ${bad} ${dtype}`);
      });
    }
  }
});

test('backward keeps the input and four numbers a channel, not the normalised batch', () => {
  memory.collectGarbage();
  const bn = layerOf(16);
  const x = picture([2, 16, 32, 32], 'float32');
  x.requiresGrad = true;
  const bytes = 4 * 2 * 16 * 32 * 32;
  const kept = (silu: () => Tensor) => {
    const before = memory.stats().liveBytes;
    const y = silu();
    const after = memory.stats().liveBytes;
    y.dispose();
    return after - before;
  };
  const fused = kept(() => bn.forwardSilu(x));
  const separate = kept(() => nn.functional.silu(scope(() => bn.forward(x))));
  assert.ok(fused < 1.1 * bytes, `${fused} of ${bytes}`);
  assert.ok(separate > 1.9 * bytes, `${separate} of ${bytes}`);
});

/** Names of the operators that `fn` calls. */
function operators(fn: () => void): string[] {
  const names: string[] = [];
  functionMode((name, args, proceed) => {
    names.push(name);
    return proceed(args);
  }, fn);
  return names;
}

const FUSED = ['aten::add_', 'mezzo::batch_norm_silu'];
const SEPARATE = ['aten::add_', 'aten::batch_norm', 'aten::silu'];

test('the separate operators run where the kernel does not fit, where hooks look, and where it is switched off', () => {
  const bn = layerOf(4);
  const x = picture([2, 4, 5, 5], 'float32');
  const names = (input: Tensor, layer = bn) => operators(() => void layer.forwardSilu(input));
  assert.deepEqual(names(x), FUSED);
  assert.deepEqual(names(x.bfloat16()), FUSED);
  assert.deepEqual(names(x.contiguous()), SEPARATE);
  assert.deepEqual(names(x.half()), SEPARATE);
  assert.deepEqual(names(x.double(), layerOf(4, 'float64')), SEPARATE);
  assert.deepEqual(names(x, new nn.BatchNorm2d(4, { affine: false })), SEPARATE);
  assert.deepEqual(names(x, new nn.BatchNorm2d(4, { trackRunningStats: false })), SEPARATE.slice(1));
  const hook = bn.registerForwardHook(() => undefined);
  assert.deepEqual(names(x), SEPARATE);
  hook.remove();
  backends.fusedKernels.enabled = false;
  assert.deepEqual(names(x), SEPARATE);
  backends.fusedKernels.enabled = true;
  assert.deepEqual(names(x, layerOf(4).eval()), SEPARATE.slice(1));
});

test('with the kernel switched off the results are the same up to rounding', () => {
  scope(() => {
    manualSeed(5);
    const [x, dy] = [picture([2, 16, 9, 9], 'float32'), picture([2, 16, 9, 9], 'float32')];
    const fused = fusedPass(x, dy);
    backends.fusedKernels.enabled = false;
    const separate = fusedPass(x, dy);
    for (const key of Object.keys(fused) as (keyof Pass)[])
      assert.ok(distance(fused[key], separate[key]) < BANDS.float32, key);
  });
});

test('one value a channel, wrong shapes and second derivatives are refused', () => {
  const bn = layerOf(4);
  const tiny = picture([1, 4, 1, 1], 'float32');
  for (const enabled of [true, false]) {
    backends.fusedKernels.enabled = enabled;
    assert.throws(() => bn.forwardSilu(tiny), {
      name: 'TorchError',
      message:
        /^Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 4, 1, 1\]\)$/,
    });
  }
  backends.fusedKernels.enabled = true;
  assert.throws(() => bn.forwardSilu(picture([2, 5, 3, 3], 'float32')), {
    name: 'TorchError',
    message: 'batch_norm_silu: weight, bias, running_mean and running_var must be contiguous float32 [5]',
  });
  const x = picture([2, 4, 3, 3], 'float32');
  x.requiresGrad = true;
  const y = bn.forwardSilu(x).pow(2).sum();
  assert.throws(() => grad(y, [x], { createGraph: true }), {
    name: 'TorchError',
    message:
      'batch_norm_silu has no second derivative: switch the fused kernels off for gradients of gradients',
  });
});

test('without gradients nothing is kept, and the running statistics move as ever', () => {
  const [bn, other] = [layerOf(4), layerOf(4)];
  const x = picture([2, 4, 5, 5], 'float32');
  const y = noGrad(() => bn.forwardSilu(x));
  assert.equal(y.requiresGrad, false);
  other.forwardSilu(x);
  assert.deepEqual(numbersOf(bn.runningVar!), numbersOf(other.runningVar!));
  assert.equal(bn.numBatchesTracked!.item(), other.numBatchesTracked!.item());
});

// This file once more on older processors' loops, as LibTorch's own variable chooses them.
const INNER = process.env.MEZZO_TEST_INNER !== undefined;
for (const capability of INNER ? [] : ['avx2', 'default']) {
  test(`the loops for ATEN_CPU_CAPABILITY=${capability}`, () => {
    const env: NodeJS.ProcessEnv = { ...process.env, ATEN_CPU_CAPABILITY: capability, MEZZO_TEST_INNER: '1' };
    delete env.NODE_TEST_CONTEXT;
    const run = spawnSync(process.execPath, [import.meta.filename], { env, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });
}

const bits = (x: Tensor): string => String(x.float().contiguous().toTypedArray());

test('a hook that takes fused outputs leaves the kernel in place and meets its output', () => {
  scope(() => {
    manualSeed(4);
    const x = picture([2, 16, 8, 8], 'bfloat16');
    const expected = layerOf(16).forwardSilu(x);
    const bn = layerOf(16);
    const met: unknown[] = [];
    const handle = bn.registerForwardHook((_module, inputs, output) => void met.push(...inputs, output), {
      fused: true,
    });
    const y = bn.forwardSilu(x);
    assert.deepEqual(met, [x, y]);
    assert.equal(bits(y), bits(expected));
    const replacing = bn.registerForwardHook(() => x, { fused: true });
    assert.equal(bn.forwardSilu(x), x);
    replacing.remove();

    // Beside one that does not, and where there is no kernel, both meet what the layer computes by itself.
    const normalised = layerOf(16).forward(x);
    met.length = 0;
    const other = bn.registerForwardHook((_module, _inputs, output) => void met.push(output as Tensor));
    const separate = bn.forwardSilu(x);
    assert.deepEqual(met.length, 3);
    assert.equal(bits(met[2] as Tensor), bits(normalised));
    assert.equal(bits(separate), bits(nn.functional.silu(normalised)));
    other.remove();
    met.length = 0;
    bn.eval().forwardSilu(x);
    assert.equal(bits(met[1] as Tensor), bits(bn.forward(x)));
    handle.remove();
    assert.equal(Object.hasOwn(bn, 'forward'), false);
  });
});

test('an own forward of the instance is not passed over', () => {
  scope(() => {
    const x = picture([2, 4, 8, 8], 'float32');
    const bn = layerOf(4);
    bn.registerForwardHook(() => undefined, { fused: true }).remove();
    bn.forward = (input: Tensor) => input.mul(0);
    assert.equal(Number(bn.forwardSilu(x).abs().max().item()), 0);
    bn.registerForwardHook(() => undefined, { fused: true });
    assert.equal(Number(bn.forwardSilu(x).abs().max().item()), 0);
  });
});
