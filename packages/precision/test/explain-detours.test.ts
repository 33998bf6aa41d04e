import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  applyPlan,
  detourOf,
  type Explanation,
  explain,
  explanationText,
  type ObservedOp,
  type PlanRule,
  uniformPlan,
  withRules,
} from '@mezzo/precision';
import { type AutocastOptions, autocast, cat, cuda, nn, ops, randn, scope, type Tensor } from '@mezzo/torch';

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
