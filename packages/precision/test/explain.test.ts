import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  applyPlan,
  atLayer,
  detourOf,
  type Explanation,
  explain,
  explanationJson,
  explanationPage,
  explanationText,
  type LayerExplanation,
  type Machine,
  type ObservedOp,
  type PlanRule,
  type TensorNote,
  uniformPlan,
  unitUse,
  withRules,
} from '@mezzo/precision';
import {
  type AutocastOptions,
  autocast,
  cat,
  cuda,
  getRngState,
  manualSeed,
  nn,
  ops,
  randn,
  scope,
  type Tensor,
} from '@mezzo/torch';

class Small extends nn.Module {
  conv = new nn.Conv2d(3, 16, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(16);
  act = new nn.SiLU();
  drop = new nn.Dropout(0.2);
  head = new nn.Linear(16, 2);

  override forward(x: Tensor): Tensor {
    return this.head.forward(
      this.drop.forward(this.act.forward(this.norm.forward(this.conv.forward(x)))).mean([2, 3]),
    );
  }
}

function explainSmall(
  options: { gradients?: boolean; scale?: number; dtype?: 'bfloat16' | 'float16'; gain?: number } = {},
) {
  const { gain = 1, dtype = 'bfloat16', ...rest } = options;
  return scope(() => {
    manualSeed(0);
    const model = new Small();
    model.drop.p = 0;
    const x = randn([2, 3, 8, 8]);
    return explain({
      model,
      precision: { device: 'cpu', dtype },
      run: (region) => {
        const y = autocast(region, () => model.forward(x));
        return atLayer('loss', () => y.float().square().mean().mul(gain));
      },
      ...rest,
    });
  });
}

const layer = ({ layers }: Explanation, name: string): LayerExplanation => {
  const found = layers.find((each) => each.name === name);
  assert.ok(found, `${name} of ${layers.map((each) => each.name)}`);
  return found;
};

test('each layer and operator comes with dtypes, rule, casts and share of the step', () => {
  const explanation = explainSmall();
  assert.deepEqual(
    explanation.layers.map(({ name, type }) => [name, type]),
    [
      ['', 'Small'],
      ['conv', 'Conv2d'],
      ['norm', 'BatchNorm2d'],
      ['act', 'SiLU'],
      ['drop', 'Dropout'],
      ['head', 'Linear'],
      ['loss', null],
      ['(outside)', null],
    ],
  );
  const conv = layer(explanation, 'conv').ops[0]!;
  assert.equal(conv.op, 'aten::conv2d');
  assert.deepEqual(conv.in, ['float32', 'float32', 'float32']);
  assert.deepEqual(conv.computed, ['bfloat16', 'bfloat16', 'bfloat16']);
  assert.equal(conv.out, 'bfloat16');
  assert.equal(conv.rule, 'low list');
  assert.equal(conv.why, 'autocast casts its inputs to bfloat16');
  assert.equal(conv.castBytes, (2 * 3 * 64 + 16 * 27 + 16) * 6);
  assert.equal(layer(explanation, 'norm').ops.find(({ op }) => op === 'aten::batch_norm')?.out, 'bfloat16');
  const back = layer(explanation, 'conv').ops.find(({ op }) => op === 'aten::convolution_backward')!;
  assert.equal(back.why, 'the dtype that aten::conv2d ran in');

  const { totals, layers } = explanation;
  const total = (value: (each: LayerExplanation) => number) =>
    layers.reduce((sum, each) => sum + value(each), 0);
  assert.ok(Math.abs(total(({ share }) => share) - 1) < 1e-9);
  assert.ok(Math.abs(total(({ seconds }) => seconds) - totals.seconds) < 1e-9);
  assert.equal(
    total(({ castBytes }) => castBytes),
    totals.castBytes,
  );
  assert.ok(Math.abs(Object.values(totals.byDtype).reduce((a, b) => a + b) - totals.seconds) < 1e-9);
  // conv2d, its backward, linear, and the two products of linear's backward (its input needs a gradient).
  assert.equal(totals.products.count, 5);
  assert.deepEqual(explanation.detours, []);
});

test('explaining leaves the model, its gradients and the generators as they were', () =>
  scope(() => {
    const model = new Small();
    const x = randn([2, 3, 8, 8]);
    model.forward(x).sum().backward();
    const state = () => [
      ...Object.values(model.stateDict()).map((tensor) => [...tensor.toTypedArray()]),
      ...model.parameters().map(({ grad }) => [...grad!.toTypedArray()]),
      [...getRngState()],
    ];
    const before = state();
    explain({
      model,
      precision: { device: 'cpu', dtype: 'bfloat16' },
      gradients: true,
      run: (region) => autocast(region, () => model.forward(x).float().sum()),
    });
    assert.deepEqual(state(), before);
  }));

/** What may follow a convolution: where detours are planted. */
function explainChain(model: nn.Module, x: Tensor, rules: readonly PlanRule[]): Explanation {
  const plan = applyPlan(model, withRules(uniformPlan('bfloat16'), rules));
  try {
    return explain({
      model,
      plan,
      repeats: 1,
      precision: { device: 'cpu', dtype: 'bfloat16' },
      run: (region) =>
        autocast(region, () => model.forward(x as never) as Tensor)
          .float()
          .sum(),
    });
  } finally {
    plan.remove();
  }
}

const paths = ({ detours }: Explanation) =>
  detours.map(({ from, to, path }) => [`${from} ${to}`, ...path.map((each) => `${each.layer} ${each.op}`)]);

/** A neck as YOLO has it: upsample, join with an earlier map, convolve. */
class Neck extends nn.Module {
  stem = new nn.Conv2d(3, 8, 1);
  down = new nn.Conv2d(8, 8, 3, { stride: 2, padding: 1 });
  up = new nn.Upsample({ scaleFactor: 2 });
  join = new nn.Conv2d(16, 8, 1);

  override forward(x: Tensor): Tensor {
    const early = this.stem.forward(x);
    return this.join.forward(cat([this.up.forward(this.down.forward(early)), early], 1));
  }
}

test('a planted plan: Upsample in fp32 makes Concat and the next convolution cast, and the proposed rule cures it', () =>
  scope(() => {
    const model = new Neck();
    const x = randn([1, 3, 8, 8]);
    const planted: PlanRule = { layers: 'up', dtype: 'float32', reason: 'planted' };
    const found = explainChain(model, x, [planted]);
    assert.deepEqual(paths(found), [
      ['bfloat16 float32', 'up aten::to', 'up aten::upsample_nearest2d', ' aten::cat', 'join aten::conv2d'],
    ]);
    const [detour] = found.detours;
    assert.equal(detour!.because, 'the plan has up in float32');
    assert.equal(detour!.advice, 'let up run in bfloat16 unless it is known to need float32');
    assert.deepEqual(detour!.override, {
      layers: 'up',
      dtype: 'bfloat16',
      reason: `saves bfloat16 → float32 → bfloat16 (${detour!.bytes} bytes a step)`,
    });
    // Up: 8 x 4 x 4; the early map beside it, 8 x 8 x 8; back: 16 x 8 x 8. Each read and written: 6 bytes a number.
    assert.equal(detour!.bytes, (8 * 16 + 8 * 64 + 16 * 64) * 6);
    assert.deepEqual(explainChain(model, x, [planted, detour!.override!]).detours, []);
    assert.match(
      explanationText(found),
      / {2}bfloat16 → float32 → bfloat16: to \(up\) → upsample_nearest2d \(up\) → cat \(the model itself\) → conv2d \(join\)\n/,
    );
  }));

test("operators of autocast's float32 list are detours too; what needs float32, or has no other kernel, stays", () =>
  scope(() => {
    class Between extends nn.Module {
      first = new nn.Conv3d(1, 2, 1);
      last = new nn.Conv3d(2, 2, 1);
      private readonly fn: (x: Tensor) => Tensor;
      constructor(fn: (x: Tensor) => Tensor) {
        super();
        this.fn = fn;
      }
      override forward(x: Tensor): Tensor {
        return this.last.forward(this.fn(this.first.forward(x)));
      }
    }
    const x = randn([1, 1, 4, 4, 4]);
    const pooled = explainChain(new Between((y) => ops.avg_pool3d(y, [2])), x, []);
    assert.deepEqual(paths(pooled), [['bfloat16 float32', ' aten::avg_pool3d', 'last aten::conv3d']]);
    const [pool] = pooled.detours;
    assert.equal(pool!.because, "aten::avg_pool3d is on autocast's float32 list, in the model itself");
    assert.equal(pool!.override, null);
    assert.equal(
      pool!.advice,
      'keep it: aten::avg_pool3d is on the list because its CPU kernel may lack bfloat16',
    );
    const [product] = explainChain(new Between((y) => y.mul(ops.prod(y, 4, true))), x, []).detours;
    assert.equal(product!.override, null);
    assert.equal(product!.advice, 'keep it: aten::prod needs the range or the digits of float32');
  }));

test("on CUDA Upsample's detour has a rule as its cure", () => {
  const at = (layer: string, op: string, rule: ObservedOp['rule']) =>
    ({ layer, op, rule, decidedBy: rule === 'inputs' ? null : op, device: 'cuda' }) as ObservedOp;
  const chain = [at('up', 'aten::upsample_nearest2d', 'fp32 list'), at('', 'aten::cat', 'inputs')];
  const back = at('join', 'aten::conv2d', 'low list');
  const trip = { from: 'float16', to: 'float32', chain, back, count: 1, bytes: 600, seconds: 0.001 } as const;
  const detour = detourOf(trip);
  assert.equal(detour.because, "aten::upsample_nearest2d is on autocast's float32 list, in up");
  assert.deepEqual(detour.override, {
    layers: 'up',
    ops: ['aten::upsample_nearest2d'],
    dtype: 'float16',
    reason: 'saves float16 → float32 → float16 (600 bytes a step)',
  });
  assert.equal(detour.advice, 'aten::upsample_nearest2d only moves numbers: it can stay in float16');
});

test('a cast that the program itself makes and takes back is told, without a rule', () =>
  scope(() => {
    class Cast extends nn.Module {
      first = new nn.Linear(4, 4);
      last = new nn.Linear(4, 4);
      override forward(x: Tensor): Tensor {
        return this.last.forward(this.first.forward(x).float().relu());
      }
    }
    const [detour] = explainChain(new Cast(), randn([2, 4]), []).detours;
    assert.equal(detour!.override, null);
    assert.equal(detour!.because, 'the program casts to float32 in the model itself');
    assert.equal(detour!.advice, 'drop the cast in the model itself if nothing needs float32');
  }));

test('an operator that one wide input makes wide is told with the rule that cures it', () =>
  scope(() => {
    class Residual extends nn.Module {
      first = new nn.Linear(4, 4);
      last = new nn.Linear(4, 4);
      override forward(x: Tensor): Tensor {
        return this.last.forward(this.first.forward(x).add(x));
      }
    }
    const model = new Residual();
    const x = randn([2, 4]);
    const [detour] = explainChain(model, x, []).detours;
    assert.deepEqual(detour!.path, [
      { layer: '', op: 'aten::add' },
      { layer: 'last', op: 'aten::linear' },
    ]);
    assert.equal(
      detour!.advice,
      'aten::add follows the widest of its inputs: give it all of them in bfloat16',
    );
    assert.deepEqual(explainChain(model, x, [detour!.override!]).detours, []);
  }));

const note = (shape: number[], dtype: TensorNote['dtype'], layout: TensorNote['layout'] = 'channels_last') =>
  ({ shape, dtype, layout }) as TensorNote;
const observed = (op: string, ...computed: TensorNote[]) => ({ op, computed }) as ObservedOp;
const gpu = (capability: [number, number], tf32 = false): Machine => ({
  device: 'cuda',
  name: 'GPU',
  capability,
  tf32: { conv: tf32, matmul: tf32 },
});
const cpu = (...flags: string[]): Machine => ({
  device: 'cpu',
  name: 'CPU',
  flags,
  bf16: flags.some((flag) => flag.endsWith('bf16')),
  fp16: flags.some((flag) => flag.endsWith('fp16')),
});
const conv = (channels: number, out: number, dtype: TensorNote['dtype'], layout?: TensorNote['layout']) =>
  observed('aten::conv2d', note([2, channels, 8, 8], dtype, layout), note([out, channels, 3, 3], dtype));

test('Tensor Cores: used, used after a copy, or not, and why', () => {
  const cases: [ObservedOp, Machine, string, string[]][] = [
    [conv(16, 32, 'float16'), gpu([7, 0]), 'yes', []],
    [
      conv(16, 32, 'float16', 'contiguous'),
      gpu([8, 0]),
      'converted',
      ['the input is contiguous (NCHW): cuDNN copies it into channels_last'],
    ],
    [conv(3, 16, 'float16'), gpu([8, 0]), 'no', ['3 input channels, not a multiple of 8']],
    [
      conv(3, 20, 'float16'),
      gpu([8, 0]),
      'no',
      ['3 input channels, not a multiple of 8', '20 output channels, not a multiple of 8'],
    ],
    [conv(16, 16, 'bfloat16'), gpu([7, 5]), 'no', ['bfloat16 needs compute capability 8.0']],
    [conv(16, 16, 'float32'), gpu([9, 0]), 'no', ['computed in float32, and TF32 is off']],
    [conv(12, 16, 'float32'), gpu([9, 0], true), 'yes', []],
    [conv(16, 16, 'float16'), gpu([6, 1]), 'no', ['compute capability 6.1 has none (they came with 7.0)']],
    [conv(16, 16, 'float64'), gpu([8, 0]), 'no', ['computed in float64']],
    [
      observed('aten::conv2d', note([1, 32, 8, 8], 'float16'), note([32, 1, 3, 3], 'float16')),
      gpu([8, 0]),
      'no',
      ['depthwise: a group has one channel'],
    ],
    [
      observed('aten::linear', note([4, 30], 'float16'), note([16, 30], 'float16')),
      gpu([8, 0]),
      'no',
      ['30 inner size, not a multiple of 8'],
    ],
    [observed('aten::mm', note([4, 32], 'float16'), note([32, 16], 'float16')), gpu([8, 0]), 'yes', []],
  ];
  for (const [op, machine, use, reasons] of cases) {
    assert.deepEqual(unitUse(op, machine), { unit: 'Tensor Cores', use, reasons });
  }
  assert.equal(unitUse(observed('aten::silu', note([1], 'float16')), gpu([8, 0])), null);
});

test("the CPU's units: AMX, AVX512-BF16, or none, and why", () => {
  assert.deepEqual(unitUse(conv(16, 32, 'bfloat16'), cpu('amx_bf16', 'avx512_bf16')), {
    unit: 'AMX',
    use: 'yes',
    reasons: [],
  });
  assert.deepEqual(unitUse(conv(16, 32, 'bfloat16', 'contiguous'), cpu('avx512_bf16')), {
    unit: 'AVX512-BF16',
    use: 'converted',
    reasons: ['the input is contiguous (NCHW): oneDNN reorders it'],
  });
  assert.deepEqual(unitUse(conv(3, 16, 'bfloat16'), cpu('amx_bf16')), {
    unit: 'AMX',
    use: 'yes',
    reasons: ['3 input channels fill blocks of 16 in part'],
  });
  assert.deepEqual(unitUse(conv(16, 16, 'bfloat16'), cpu()), {
    unit: 'AMX',
    use: 'no',
    reasons: ['neither amx_bf16 nor avx512_bf16: bfloat16 is emulated'],
  });
  assert.deepEqual(unitUse(conv(16, 16, 'float32'), cpu('amx_bf16')), {
    unit: 'AMX',
    use: 'no',
    reasons: ['computed in float32, by the vector units'],
  });
});

test('gradients: norms, cosine, and the shares that are too small or too large', () => {
  const sound = layer(explainSmall({ gradients: true }), 'conv').gradient!;
  assert.ok(sound.cosine! > 0.99 && sound.cosine! < 1, `cosine ${sound.cosine}`);
  assert.ok(Math.abs(sound.norm.low / sound.norm.float32 - 1) < 0.05);
  assert.deepEqual(
    [sound.underflow, sound.overflow],
    [
      { float32: 0, low: 0 },
      { float32: 0, low: 0 },
    ],
  );

  // A loss so small that its gradients vanish in fp16, unless they are scaled.
  const tiny = { gradients: true, dtype: 'float16', gain: 2 ** -30 } as const;
  const vanished = layer(explainSmall({ ...tiny, scale: 1 }), 'conv').gradient!;
  assert.ok(vanished.underflow.float32 > 0.99 && vanished.underflow.low > 0.99);
  assert.equal(vanished.cosine, null);
  const scaled = layer(explainSmall({ ...tiny, scale: 2 ** 30 }), 'conv').gradient!;
  assert.ok(scaled.underflow.float32 < 0.05 && scaled.cosine! > 0.99, `cosine ${scaled.cosine}`);

  const huge = layer(explainSmall({ gradients: true, dtype: 'float16', scale: 2 ** 60 }), 'conv').gradient!;
  assert.ok(huge.overflow.float32 > 0.99 && huge.overflow.low > 0.99);
  assert.equal(huge.cosine, null);
});

test('the forward pass alone, and float32 without autocast', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(4, 4));
    const x = randn([2, 4]);
    const explanation = explain({
      model,
      backward: false,
      precision: { device: 'cpu', dtype: 'float32' },
      run: (region) => autocast(region, () => model.forward(x).sum()),
    });
    const found = layer(explanation, '0').ops;
    assert.deepEqual(
      found.map(({ op, phase, rule, out }) => [op, phase, rule, out]),
      [['aten::linear', 'forward', 'inputs', 'float32']],
    );
    assert.match(explanationText(explanation), /^One forward pass in float32 on cpu \(/);
  }));

test('the page is one file without anything outside it, and holds the explanation', () => {
  const explanation = explainSmall({ gradients: true });
  const page = explanationPage(explanation, 'A <b> & </script>');
  assert.doesNotMatch(page, /https?:|src=|href=|@import|url\(/);
  assert.match(page, /<title>A &lt;b&gt; &amp; &lt;\/script&gt;<\/title>/);
  assert.equal(page.match(/<\/script>/g)!.length, 2);
  assert.match(page, /<input id="find" type="search"/);
  const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!;
  const { title, ...rest } = JSON.parse(data) as { title: string };
  assert.equal(title, 'A <b> & </script>');
  assert.deepEqual(rest, JSON.parse(explanationJson(explanation)));
});

test('the text names totals, the dearest operators and gradients', () => {
  const text = explanationText(explainSmall({ gradients: true }), { rows: 3 });
  assert.match(
    text,
    /^One training step in bfloat16 on cpu \(.*\)\n {2}operators {2}\d+\.\d\d ms: bfloat16 \d/,
  );
  assert.match(text, /\nlayer +operator +dtypes +rule +ms +step +casts +MB +ms +matrix unit\n/);
  assert.match(text, /\n… and \d+ more\n/);
  assert.match(text, /\nNo data is cast back and forth\.\n/);
  assert.match(text, /\nGradients, float32 against bfloat16 \(loss scale 1\), the least alike first\n/);
});

test(
  'on CUDA Upsample → Concat is a detour, and the proposed rule cures it',
  {
    skip: cuda.isAvailable() ? false : 'no GPU',
  },
  () =>
    scope(() => {
      const model = new Neck().cuda();
      const x = randn([1, 3, 8, 8]).cuda();
      const explained = (rules: readonly PlanRule[]) => {
        const plan = applyPlan(model, withRules(uniformPlan('float16'), rules));
        try {
          return explain({
            model,
            plan,
            precision: { device: 'cuda', dtype: 'float16' },
            run: (region: AutocastOptions) =>
              autocast(region, () => model.forward(x))
                .float()
                .sum(),
          });
        } finally {
          plan.remove();
        }
      };
      const found = explained([]);
      assert.deepEqual(paths(found), [
        ['float16 float32', 'up aten::upsample_nearest2d', ' aten::cat', 'join aten::conv2d'],
      ]);
      assert.deepEqual(explained([found.detours[0]!.override!]).detours, []);
    }),
);
