import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { amp, autocast, cuda, grad, nn, ones, optim, randn, type Tensor } from '../src/index.ts';
import { heardDuring } from './heard-during.ts';

const { Parameter } = nn;

/** Everything an autocast region sets on this thread. */
function threadState() {
  const torch = native();
  return {
    cpu: [torch.autocastEnabled('cpu'), torch.autocastDtype('cpu')],
    cuda: [torch.autocastEnabled('cuda'), torch.autocastDtype('cuda')],
    cache: torch.autocastCacheEnabled(),
    nesting: torch.autocastNesting(),
  };
}

const OUTSIDE = { cpu: [false, 'bfloat16'], cuda: [false, 'float16'], cache: true, nesting: 0 };

const matrix = () => randn([8, 8]);

describe('state of the thread', () => {
  test('A11: off by default, with the default dtype of each device', () => {
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('set inside, restored outside, also nested with other dtypes, islands and cache flags', () => {
    autocast({ device: 'cpu', dtype: 'float16', cache: false }, () => {
      assert.deepEqual(threadState(), { ...OUTSIDE, cpu: [true, 'float16'], cache: false, nesting: 1 });
      autocast({ device: 'cpu', enabled: false }, () => {
        assert.deepEqual(threadState(), { ...OUTSIDE, cpu: [false, 'float16'], cache: false, nesting: 2 });
        autocast({ device: 'cpu', dtype: 'bfloat16', cache: true }, () => {
          assert.deepEqual(threadState(), { ...OUTSIDE, cpu: [true, 'bfloat16'], cache: true, nesting: 3 });
        });
        assert.deepEqual(threadState(), { ...OUTSIDE, cpu: [false, 'float16'], cache: false, nesting: 2 });
      });
      assert.deepEqual(threadState(), { ...OUTSIDE, cpu: [true, 'float16'], cache: false, nesting: 1 });
    });
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('restored when the function throws, and the error comes through', () => {
    const run = () =>
      autocast({ device: 'cpu' }, () =>
        autocast({ device: 'cpu', dtype: 'float16', cache: false }, () => {
          throw new RangeError('inside');
        }),
      );
    assert.throws(run, { name: 'RangeError', message: 'inside' });
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('restored when LibTorch throws', () => {
    assert.throws(() => autocast({ device: 'cpu' }, () => ones([2, 3]).matmul(ones([2, 3]))), {
      name: 'TorchError',
    });
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('an island computes in float32, and the result of the function is returned', () => {
    const dtypes = autocast({ device: 'cpu' }, () => {
      const low = matrix().matmul(matrix());
      const island = autocast({ device: 'cpu', enabled: false }, () => low.float().matmul(matrix()));
      return [low.dtype, island.dtype, island.matmul(matrix()).dtype];
    });
    assert.deepEqual(dtypes, ['bfloat16', 'float32', 'bfloat16']);
  });

  test('a function wrapped once always runs in its region', () => {
    const product = amp.autocasted({ device: 'cpu', dtype: 'float16' }, (a: Tensor, b: Tensor) =>
      a.matmul(b),
    );
    assert.equal(product(matrix(), matrix()).dtype, 'float16');
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('A11: an unknown device is named', () => {
    const options = { device: 'gpu' } as unknown as amp.AutocastOptions;
    assert.throws(() => autocast(options, () => {}), {
      name: 'AmpError',
      code: 'VALUE',
      message: "autocast: unknown device 'gpu'; expected 'cpu' or 'cuda'",
    });
  });
});

describe('the region is synchronous', () => {
  const message =
    'autocast: the function is async. Its region is a property of the thread, so other code would run inside ' +
    'it during an await; pass a synchronous function and await outside';

  test('Y8: an async function is refused before it runs', () => {
    let ran = false;
    const run = () =>
      autocast({ device: 'cpu' }, async () => {
        ran = true;
      });
    assert.throws(run, { name: 'TorchError', code: 'ASYNC_REGION', message });
    assert.equal(ran, false);
    assert.deepEqual(threadState(), OUTSIDE);
  });

  test('Y8: a function that returns a promise is refused after it ran', () => {
    const run = () => autocast({ device: 'cpu' }, () => Promise.resolve(1));
    assert.throws(run, { name: 'TorchError', code: 'ASYNC_REGION', message });
    assert.deepEqual(threadState(), OUTSIDE);
  });
});

describe('device and dtype gates', () => {
  test('A11: a CPU dtype other than bfloat16 and float16 warns and disables', () => {
    const heard = heardDuring(() => {
      const dtype = autocast({ device: 'cpu', dtype: 'float64' }, () => matrix().matmul(matrix()).dtype);
      assert.equal(dtype, 'float32');
    });
    assert.deepEqual(heard, [
      {
        code: 'UNSUPPORTED_DTYPE',
        message:
          'In CPU autocast, but the target dtype is not supported. Disabling autocast.\n' +
          'CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.',
      },
    ]);
  });

  test('CUDA without a GPU warns and disables', { skip: cuda.isAvailable() }, () => {
    const heard = heardDuring(() => {
      autocast({ device: 'cuda' }, () => assert.equal(amp.isAutocastEnabled('cuda'), false));
    });
    assert.deepEqual(heard, [
      {
        code: 'CUDA_UNAVAILABLE',
        message: 'CUDA is not available or torch_xla is imported. Disabling autocast.',
      },
    ]);
  });

  test('a disabled region asks nothing of the device', () => {
    const heard = heardDuring(() => {
      assert.equal(
        autocast({ device: 'cuda', dtype: 'bfloat16', enabled: false }, () => 7),
        7,
      );
    });
    assert.deepEqual(heard, []);
  });

  const gpu = { skip: cuda.isAvailable() ? false : 'needs a CUDA device' };
  test('A5: binary_cross_entropy is refused on CUDA, where matmul is fp16 by default', gpu, () => {
    const x = randn([8, 8], { device: 'cuda' });
    assert.equal(autocast(() => x.matmul(x)).dtype, 'float16');
    assert.throws(
      () => autocast(() => nn.functional.binaryCrossEntropy(x.sigmoid(), x.sigmoid())),
      /unsafe to autocast/,
    );
  });
});

describe('results are those of casting by hand', () => {
  for (const dtype of ['bfloat16', 'float16'] as const) {
    test(`A1: ${dtype}`, () => {
      const [x, w, b] = [randn([2, 3, 8, 8]), randn([4, 3, 3, 3]), randn([4])];
      const inside = autocast({ device: 'cpu', dtype }, () => nn.functional.conv2d(x, w, b));
      const byHand = nn.functional.conv2d(x.to(dtype), w.to(dtype), b.to(dtype));
      assert.equal(inside.equal(byHand), true);
      const low = x.to(dtype);
      const loss = autocast({ device: 'cpu', dtype }, () => nn.functional.mseLoss(low, low.mul(2)));
      assert.equal(loss.equal(nn.functional.mseLoss(low.float(), low.mul(2).float())), true);
    });
  }
});

describe('backward outside runs in the dtypes of the forward pass', () => {
  test('gradients of float32 weights are float32 and near those of the float32 pass', () => {
    const weight = new Parameter(randn([16, 16]));
    const x = randn([4, 16]);
    const loss = autocast({ device: 'cpu' }, () => x.matmul(weight).float().square().mean());
    loss.backward();
    const low = weight.grad!.clone();
    assert.equal(low.dtype, 'float32');
    weight.grad = null;
    x.matmul(weight).square().mean().backward();
    const error = low.sub(weight.grad!).abs().max().item() as number;
    const size = weight.grad!.abs().max().item() as number;
    assert.ok(error > 0 && error < 0.05 * size, `${error} of ${size}`);
  });

  const refused = (what: string) => ({
    name: 'AmpError',
    code: 'INSIDE_AUTOCAST',
    message: `${what} was called inside an autocast region`,
  });

  test('backward and grad inside a region are refused, in an island not', () => {
    const weight = new Parameter(matrix());
    autocast({ device: 'cpu' }, () => {
      const loss = weight.matmul(weight).float().sum();
      assert.throws(() => loss.backward(), refused('backward()'));
      assert.throws(() => grad(loss, weight), refused('grad()'));
      autocast({ device: 'cpu', enabled: false }, () => loss.backward());
    });
    assert.notEqual(weight.grad, null);
  });

  test('C4: an optimizer step inside a region is refused, also in an island: the casts would be stale', () => {
    const weight = new Parameter(matrix());
    weight.grad = matrix();
    const optimizer = new optim.SGD([weight]);
    autocast({ device: 'cpu' }, () => {
      assert.throws(() => optimizer.step(), refused('optimizer.step()'));
      autocast({ device: 'cpu', enabled: false }, () => {
        assert.throws(() => optimizer.step(), refused('optimizer.step()'));
      });
    });
    autocast({ device: 'cpu', enabled: false }, () => optimizer.step());
  });
});
