import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  applyPlan,
  atLayer,
  autocastPolicy,
  type ObservedOp,
  OUTSIDE,
  observe,
  planFromPatterns,
  type Trace,
} from '@mezzo/precision';
import { autocast, cuda, manualSeed, nn, op, randn, scope, type Tensor, tensor } from '@mezzo/torch';

class Small extends nn.Module {
  conv = new nn.Conv2d(3, 8, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(8);
  act = new nn.SiLU();
  head = new nn.Linear(8, 2);

  override forward(x: Tensor): Tensor {
    return this.head.forward(this.act.forward(this.norm.forward(this.conv.forward(x))).mean([2, 3]));
  }
}

/** A module that applies a function: the smallest layer. */
class Apply extends nn.Module {
  private readonly fn: (x: Tensor) => Tensor;
  constructor(fn: (x: Tensor) => Tensor) {
    super();
    this.fn = fn;
  }
  override forward(x: Tensor): Tensor {
    return this.fn(x);
  }
}

const bf16 = { device: 'cpu', dtype: 'bfloat16' } as const;
const fp16 = { device: 'cpu', dtype: 'float16' } as const;

function only({ ops }: Trace, layer: string, name: string, phase = 'forward'): ObservedOp {
  const found = ops.filter((each) => each.layer === layer && each.op === name && each.phase === phase);
  assert.equal(
    found.length,
    1,
    `${layer} ${name} ${phase}, of ${ops.map((each) => `${each.layer} ${each.op}`)}`,
  );
  return found[0]!;
}

const dtypes = (tensors: readonly { dtype: string }[]) => tensors.map(({ dtype }) => dtype);

test('operators belong to layers, in the forward and, by sequence number, in the backward pass', () =>
  scope(() => {
    manualSeed(0);
    const model = new Small();
    const x = randn([2, 3, 8, 8]);
    const { result, trace } = observe(model, {}, () => {
      const loss = autocast(bf16, () => atLayer('loss', () => model.forward(x).float().pow(2).sum()));
      loss.backward();
      return loss.item();
    });
    assert.equal(typeof result, 'number');

    const conv = only(trace, 'conv', 'aten::conv2d');
    assert.deepEqual(conv.in, ['float32', 'float32', 'float32']);
    assert.deepEqual(dtypes(conv.computed), ['bfloat16', 'bfloat16', 'bfloat16']);
    assert.deepEqual(conv.out, ['bfloat16']);
    assert.equal(conv.rule, 'low list');
    assert.equal(conv.decidedBy, 'aten::conv2d');
    assert.equal(conv.casts, 3);
    assert.equal(conv.castBytes, (2 * 3 * 8 * 8 + 8 * 3 * 3 * 3 + 8) * 6);
    assert.deepEqual(conv.shapes, [[2, 3, 8, 8], [8, 3, 3, 3], [8]]);
    assert.ok(conv.seconds >= conv.selfSeconds && conv.selfSeconds >= 0 && conv.castSeconds > 0);

    assert.equal(only(trace, 'act', 'aten::silu').rule, 'inputs');
    assert.equal(only(trace, 'norm', 'aten::add_').rule, 'no floats');
    assert.equal(only(trace, '', 'aten::mean').layer, '');
    assert.equal(only(trace, 'loss', 'aten::to').rule, 'cast');
    assert.equal(only(trace, OUTSIDE, 'aten::item').phase, 'forward');

    const back = only(trace, 'conv', 'aten::convolution_backward', 'backward');
    assert.equal(back.node, 'ConvolutionBackward0');
    assert.equal(back.forwardOp, 'aten::conv2d');
    assert.equal(back.rule, 'backward');
    assert.equal(only(trace, 'act', 'aten::silu_backward', 'backward').forwardOp, 'aten::silu');
    // The weights' casts are undone in the layer they were made for, and gradients arrive where the parameters are.
    assert.equal(only(trace, 'conv', 'aten::to', 'backward').casts, 2);
    assert.equal(only(trace, 'norm', 'aten::detach', 'backward').node, 'torch::autograd::AccumulateGrad');
    assert.equal(trace.firstNonFinite, null);
  }));

test('gradients that meet are summed in the layer behind which they meet', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new Apply((x) => x.mul(x.sigmoid())));
    const { trace } = observe(model, {}, () =>
      model
        .forward(randn([1, 2]))
        .sum()
        .backward(),
    );
    const sums = trace.ops.filter((each) => each.op === 'aten::add_' || each.op === 'aten::add');
    assert.deepEqual(
      sums.map(({ layer, phase }) => [layer, phase]),
      [['1', 'backward']],
    );
  }));

test('inside a module that is called in backward the module counts, not the backward node', () =>
  scope(() => {
    const inner = new nn.Linear(2, 2);
    const model = new nn.Sequential(inner);
    const x = randn([1, 2]).requiresGrad_();
    const y = x.mul(2);
    y.registerHook(() => void inner.forward(randn([1, 2])));
    const { trace } = observe(model, {}, () => y.sum().backward());
    assert.equal(only(trace, '0', 'aten::linear').rule, 'inputs');
  }));

test('an operator inside a switched-off region is in an island, one under a plan is planned', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(4, 4), new Apply((x) => x.exp()));
    const x = randn([2, 4]);
    const island = observe(model, {}, () =>
      autocast(bf16, () => autocast({ ...bf16, enabled: false }, () => model.forward(x))),
    );
    assert.equal(only(island.trace, '0', 'aten::linear').rule, 'island');
    const off = observe(model, {}, () => autocast({ ...bf16, enabled: false }, () => model.forward(x)));
    assert.equal(only(off.trace, '0', 'aten::linear').rule, 'inputs');

    const plan = applyPlan(model, planFromPatterns('bfloat16', ['0']));
    const planned = observe(model, { plan }, () => autocast(bf16, () => model.forward(x)));
    plan.remove();
    assert.equal(only(planned.trace, '0', 'aten::linear').rule, 'plan');
    assert.deepEqual(only(planned.trace, '0', 'aten::linear').out, ['float32']);
    assert.equal(only(planned.trace, '1', 'aten::exp').rule, 'inputs');
  }));

test('a composite operator shows the rule of the operator inside that autocast knows', () =>
  scope(() => {
    const conv = op<(x: Tensor, w: Tensor, b: null, stride: number[], padding: string) => Tensor>(
      'aten::conv2d',
      'padding',
    );
    const model = new Apply((x) => conv(x, randn([2, 3, 3, 3]), null, [1, 1], 'same'));
    const { trace } = observe(model, {}, () => autocast(bf16, () => model.forward(randn([1, 3, 4, 4]))));
    const found = only(trace, '', 'aten::conv2d');
    assert.equal(found.rule, 'low list');
    assert.deepEqual(found.out, ['bfloat16']);
  }));

test('a weight above 65504 is found as the cast within conv2d', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Conv2d(1, 1, 1, { bias: false }), new nn.ReLU());
    const weight = model.parameters()[0]!;
    weight.detach().fill_(70000);
    const x = tensor([[[[0.5]]]]);
    const { trace } = observe(model, { finiteness: true }, () => autocast(fp16, () => model.forward(x)));
    assert.deepEqual(trace.firstNonFinite, {
      layer: '0',
      phase: 'forward',
      op: 'aten::conv2d',
      inner: 'aten::_to_copy',
      node: null,
      forwardOp: null,
      rule: 'low list',
      inputs: [{ dtype: 'float32', shape: [1, 1, 1, 1], layout: 'both', largest: 70000 }],
      output: { dtype: 'float16', shape: [1, 1, 1, 1], layout: 'both' },
    });
    // The ReLU behind it got what is not finite already.
    assert.equal(trace.nonFinite.length, 1);
  }));

test('an inf that is born in backward is traced to the forward operator, its layer and node', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new Apply((x) => x.mul(0).sqrt()));
    const { trace } = observe(model, { finiteness: true }, () => {
      model
        .forward(randn([1, 2]))
        .sum()
        .backward();
    });
    const found = trace.firstNonFinite!;
    assert.equal(found.layer, '1');
    assert.equal(found.phase, 'backward');
    assert.equal(found.op, 'aten::div');
    assert.equal(found.node, 'SqrtBackward0');
    assert.equal(found.forwardOp, 'aten::sqrt');
    assert.equal(found.rule, 'backward');
    assert.equal(found.output.dtype, 'float32');
  }));

test('infinities that are asked for, and memory that is not yet written, are no fault', () =>
  scope(() => {
    const model = new Apply((x) => {
      const mask = x.gt(0);
      const masked = x.maskedFill(mask, Number.NEGATIVE_INFINITY);
      return op('aten::empty_like')(masked.softmax(0)).copy_(x);
    });
    const { trace } = observe(model, { finiteness: true }, () => model.forward(tensor([-1, 2, -3])));
    assert.equal(trace.firstNonFinite, null);
  }));

test('finiteness is watched without changing results', () =>
  scope(() => {
    manualSeed(1);
    const model = new Small();
    const x = randn([2, 3, 8, 8]);
    const gradients = (finiteness: boolean) => {
      model.zeroGrad();
      const { result } = observe(model, { finiteness }, () => {
        const loss = autocast(bf16, () => model.forward(x).float().sum());
        loss.backward();
        return loss.item();
      });
      return [
        result,
        ...model.parameters().map(({ grad }) => Array.from(grad!.toTypedArray() as Float32Array)),
      ];
    };
    assert.deepEqual(gradients(true), gradients(false));
  }));

test('data that is cast and cast back is found, and what it went through', () =>
  scope(() => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 4, 1),
      new nn.SiLU(),
      new nn.Conv2d(4, 4, 1),
      new nn.Softmax(1),
    );
    const x = randn([1, 3, 4, 4]);
    const plan = applyPlan(model, planFromPatterns('bfloat16', ['1']));
    const { trace } = observe(model, { plan }, () => autocast(bf16, () => model.forward(x)));
    plan.remove();
    assert.deepEqual(
      trace.roundTrips.map(({ from, to, chain, back, count, bytes }) => ({
        from,
        to,
        chain: chain.map((each) => [each.layer, each.op]),
        back: [back.layer, back.op],
        count,
        bytes,
      })),
      [
        {
          from: 'bfloat16',
          to: 'float32',
          chain: [
            ['1', 'aten::to'],
            ['1', 'aten::silu'],
          ],
          back: ['2', 'aten::conv2d'],
          count: 1,
          bytes: 2 * 4 * 4 * 4 * 6,
        },
      ],
    );
    const without = observe(model, {}, () => autocast(bf16, () => model.forward(x).float()));
    assert.deepEqual(without.trace.roundTrips, []);
  }));

test('an observation ends with what it observes, also by an error, and does not nest', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(2, 2));
    assert.throws(
      () =>
        observe(model, {}, () => {
          observe(model, {}, () => null);
        }),
      { code: 'BAD_ARGUMENT', message: 'this thread is being observed already' },
    );
    assert.throws(() => observe(model, {}, () => model.forward(randn([1, 3]))), { code: 'SHAPE' });
    const { trace } = observe(model, {}, () => model.forward(randn([1, 2])));
    assert.equal(only(trace, '0', 'aten::linear').count, 1);
    assert.equal(Object.getOwnPropertyDescriptor(model, 'forward'), undefined);
    assert.equal(
      atLayer('loss', () => 3),
      3,
    );
  }));

interface GoldenRow {
  op: string;
  overload: string;
  /** Dtype of the result, in a bfloat16 region, from inputs of these dtypes. */
  float32: string;
  bfloat16: string;
  mixed?: string;
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/fixtures/autocast-cpu.json', import.meta.url), 'utf8'),
) as GoldenRow[];

const EXPECTED: Record<string, (row: GoldenRow) => [float32: string, bfloat16: string]> = {
  'low list': () => ['bfloat16', 'bfloat16'],
  'fp32 list': () => ['float32', 'float32'],
  promotion: () => ['float32', 'bfloat16'],
  none: () => ['float32', 'bfloat16'],
};

test('the policies that the dispatcher tells are those that PyTorch shows', () => {
  const seen = new Set<string>();
  for (const row of golden) {
    const policy = autocastPolicy(row.op, 'cpu', row.overload);
    seen.add(policy);
    assert.deepEqual([row.float32, row.bfloat16], EXPECTED[policy]!(row), `${row.op}: ${policy}`);
    assert.equal(policy === 'promotion', row.mixed !== undefined, row.op);
  }
  assert.deepEqual([...seen].sort(), ['fp32 list', 'low list', 'none', 'promotion']);
});

test("CUDA's policies are known without a GPU", () => {
  const policies = [
    'conv2d',
    'softmax.int',
    'upsample_nearest2d',
    'mv',
    'addcmul',
    'index_put',
    'silu',
    'cat',
  ].map((name) => {
    const [base, overload] = name.split('.');
    return autocastPolicy(`aten::${base}`, 'cuda', overload);
  });
  assert.deepEqual(policies, [
    'low list',
    'fp32 list',
    'fp32 list',
    'low list',
    'promotion',
    'promotion',
    'none',
    'none',
  ]);
  assert.equal(autocastPolicy('aten::binary_cross_entropy', 'cuda'), 'banned');
});

test(
  'on CUDA the backward pass, which runs on another thread, is observed as well',
  {
    skip: cuda.isAvailable() ? false : 'no GPU',
  },
  () =>
    scope(() => {
      const model = new Small().cuda();
      const x = randn([2, 3, 8, 8]).cuda();
      const { trace } = observe(model, { synchronize: true, finiteness: true }, () => {
        autocast({ device: 'cuda', dtype: 'float16' }, () => model.forward(x).float().sum()).backward();
      });
      assert.equal(only(trace, 'conv', 'aten::convolution_backward', 'backward').forwardOp, 'aten::conv2d');
      assert.equal(trace.firstNonFinite, null);
    }),
);

test('an observation sees its own thread only', async () => {
  const worker = new Worker(
    `const { nn, randn, scope } = await import('${import.meta.resolve('@mezzo/torch')}');
     const { observe } = await import('${import.meta.resolve('@mezzo/precision')}');
     const { parentPort } = await import('node:worker_threads');
     const model = new nn.Sequential(new nn.Linear(4, 4));
     const { trace } = scope(() => observe(model, {}, () => {
       for (let i = 0; i < 200; i++) scope(() => model.forward(randn([2, 4])));
     }));
     parentPort.postMessage(trace.ops.filter(({ op }) => op === 'aten::linear').map(({ count }) => count));`,
    { eval: true, execArgv: ['--input-type=module'] },
  );
  const answer = once(worker, 'message');
  const model = new nn.Sequential(new nn.Linear(2, 2));
  const { trace } = scope(() =>
    observe(model, {}, () => {
      for (let i = 0; i < 300; i++) scope(() => model.forward(randn([1, 2])));
    }),
  );
  assert.equal(only(trace, '0', 'aten::linear').count, 300);
  const [counts] = (await answer) as [number[]];
  assert.deepEqual(counts, [200]);
});
