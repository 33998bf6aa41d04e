import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { amp, autocast, GradScaler, nn, optim, tensor, zeros } from '@mezzo/torch';
import fc from 'fast-check';
import { DEEPSPEED_PROFILES, SCALE_RULES, scaleRule, scaleRuleNames } from '../src/index.ts';

/** Runs a scaler over gradients: '.' finite, anything else infinite; gives scale and skip of each step. */
function drive(
  scaler: GradScaler,
  gradients: string,
): { scales: number[]; skips: boolean[]; weight: number } {
  const param = new nn.Parameter(tensor([1]));
  const optimizer = new optim.SGD([param], { lr: 1 });
  const steps = Array.from(gradients, (mark) => {
    scaler.scale(zeros([]));
    param.grad = tensor([mark === '.' ? 0 : Number.POSITIVE_INFINITY]);
    scaler.step(optimizer);
    scaler.update();
    return { scale: scaler.getScale(), skip: scaler.skipped(optimizer) === true };
  });
  return {
    scales: steps.map(({ scale }) => scale),
    skips: steps.map(({ skip }) => skip),
    weight: Number(param.item()),
  };
}

const make = (rule: amp.ScaleRule, options: object = {}) =>
  new GradScaler({ device: 'cpu', rule, ...options });

describe('a GradScaler under another rule', () => {
  test('D1: DeepSpeed doubles every window, and overflow alone goes down to the minimum and stays', () => {
    const rule = { ...SCALE_RULES.deepspeed, init: 8, growthInterval: 2, hysteresis: 1, raiseAtFloor: false };
    assert.deepEqual(drive(make(rule), '.......').scales, [8, 8, 16, 16, 32, 32, 64]);
    assert.deepEqual(drive(make(rule), 'iiiiii').scales, [4, 2, 1, 1, 1, 1]);
    const unfused = { ...DEEPSPEED_PROFILES.unfused, init: 1, hysteresis: 1, raiseAtFloor: false };
    assert.deepEqual(drive(make(unfused), 'iiii').scales, [0.5, 0.25, 0.25, 0.25]);
    assert.deepEqual([DEEPSPEED_PROFILES.fused.init, DEEPSPEED_PROFILES.fused.floor], [2 ** 32, 1]);
  });

  test('D2: hysteresis is consumed before the first cut; growth refills it, or each clean step', () => {
    const rule = { ...SCALE_RULES.deepspeed, init: 64, growthInterval: 3 };
    assert.deepEqual(drive(make(rule), 'i.i.i').scales, [64, 64, 32, 32, 16]);
    assert.deepEqual(drive(make({ ...rule, refill: 'clean' }), 'i.i.i').scales, [64, 64, 64, 64, 64]);
    assert.deepEqual(drive(make(rule), 'i....i').scales, [64, 64, 64, 64, 128, 128]);
  });

  test('D2 Y12: an overflow at the floor is an error that names the culprits, or is not', () => {
    const rule = { ...SCALE_RULES.deepspeed, init: 2, hysteresis: 1 };
    const scaler = make(rule);
    drive(scaler, 'i');
    assert.equal(scaler.getScale(), 1);
    const param = new nn.Parameter(tensor([1]));
    const optimizer = new optim.SGD([param]);
    const overflow = (culprits: string[]) => {
      scaler.scale(zeros([]));
      param.grad = tensor([Number.NaN]);
      scaler.step(optimizer);
      scaler.noteCulprits(culprits);
      scaler.update();
    };
    const names = Array.from({ length: 7 }, (_, i) => `model.${i}.weight`);
    assert.throws(() => overflow(names), {
      name: 'ScaleFloorError',
      code: 'SCALE_FLOOR',
      culprits: names,
      scale: 1,
      message:
        'the loss scale is at its floor of 1 and the gradients still overflow: model.0.weight, model.1.weight, ' +
        'model.2.weight, model.3.weight, model.4.weight and 2 more',
    });
    // The iteration ended: the next one starts as usual, and the scale is never 0.
    assert.throws(() => overflow([]), {
      code: 'SCALE_FLOOR',
      message: 'the loss scale is at its floor of 1 and the gradients still overflow',
    });
    assert.deepEqual([scaler.getScale(), param.item()], [1, 1]);
    assert.deepEqual(drive(make({ ...rule, raiseAtFloor: false }), 'iiii').scales, [1, 1, 1, 1]);
  });

  test('Y12: a floor holds the scale of PyTorch’s rule on the device, which otherwise falls to 0', () => {
    const bare = make({ ...SCALE_RULES.torch, init: 2 ** -148 });
    assert.deepEqual(drive(bare, 'iii').scales, [2 ** -149, 0, 0]);
    const held = make({ ...SCALE_RULES.torch, floor: 0.5 }, { initScale: 4 });
    assert.equal(held.advancesOnHost, false);
    assert.deepEqual(drive(held, 'iiiii').scales, [2, 1, 0.5, 0.5, 0.5]);
  });

  test('D3: bf16 without a scaler: an unchecked step breaks the weights', () => {
    const param = new nn.Parameter(tensor([1], { dtype: 'bfloat16' }));
    const scaler = new GradScaler({ device: 'cpu', enabled: false });
    param.grad = tensor([Number.POSITIVE_INFINITY], { dtype: 'bfloat16' });
    scaler.step(new optim.SGD([param]));
    assert.equal(param.item(), Number.NEGATIVE_INFINITY);
  });

  test('D3: bf16 with a static scale of 1: infinities and NaN count as skipped steps', () => {
    const param = new nn.Parameter(tensor([1], { dtype: 'bfloat16' }));
    const optimizer = new optim.SGD([param], { lr: 1 });
    const scaler = make({ ...SCALE_RULES.static, init: 1 });
    for (const value of [Number.POSITIVE_INFINITY, Number.NaN, 0.5]) {
      const loss = autocast({ device: 'cpu', dtype: 'bfloat16' }, () => zeros([]));
      scaler.scale(loss);
      param.grad = tensor([value], { dtype: 'bfloat16' });
      scaler.step(optimizer);
      scaler.update();
    }
    const state = scaler.stateDict() as amp.GradScalerState;
    assert.deepEqual([param.item(), scaler.getScale(), state.state!.skipped], [0.5, 1, 2]);
  });

  test('D5: Apex stops at 2^24, has a floor if asked, and its decreases are halvings', () => {
    const capped = make({ ...SCALE_RULES.apex, init: 2 ** 22, growthInterval: 1 });
    assert.deepEqual(drive(capped, '.....').scales, [2 ** 23, 2 ** 24, 2 ** 24, 2 ** 24, 2 ** 24]);
    assert.deepEqual(drive(make({ ...SCALE_RULES.apex, init: 8 }), 'iiiii').scales, [4, 2, 1, 0.5, 0.25]);
    const floored = make({ ...SCALE_RULES.apex, init: 512, floor: 128 });
    assert.deepEqual(drive(floored, 'iiii').scales, [256, 128, 128, 128]);
  });

  test('D5: one scaler a loss: each has its own scale in the checkpoint, and a group may join in mid-run', () => {
    const rule = { ...SCALE_RULES.apex, init: 64, growthInterval: 2 };
    const scalers = [make(rule), make(rule)] as const;
    const params = [new nn.Parameter(tensor([1])), new nn.Parameter(tensor([1]))] as const;
    const optimizers = params.map((param) => new optim.SGD([param], { lr: 1 }));
    const joined = new nn.Parameter(tensor([5]));
    const step = (marks: string) => {
      for (const [i, scaler] of scalers.entries()) {
        const factor = marks[i] === '.' ? 0.5 : Number.POSITIVE_INFINITY;
        scaler.scale(params[i]!.mul(factor).sum()).backward();
        if (i === 0) joined.grad = tensor([scaler.getScale()]);
        scaler.step(optimizers[i]!);
        scaler.update();
        optimizers[i]!.zeroGrad();
      }
    };
    step('.i');
    optimizers[0]!.addParamGroup({ params: [joined] });
    step('..');
    assert.deepEqual(
      scalers.map((scaler) => scaler.getScale()),
      [128, 32],
    );
    assert.deepEqual(
      [...params, joined].map((param) => param.item()),
      [0, 0.5, 4],
    );
    const restored = scalers.map((scaler) => {
      const copy = make(rule);
      copy.loadStateDict(JSON.parse(JSON.stringify(scaler.stateDict())) as amp.GradScalerState);
      return copy;
    });
    assert.deepEqual(
      restored.map((scaler) => scaler.stateDict()),
      scalers.map((scaler) => scaler.stateDict()),
    );
  });

  test('D6: Megatron refills at a growth only, wants a minimum below its start, and keeps its patience', () => {
    const rule = { ...SCALE_RULES.megatron, init: 64, growthInterval: 3 };
    const scaler = make(rule);
    assert.deepEqual(drive(scaler, 'i.i').scales, [64, 64, 32]);
    assert.equal((scaler.stateDict() as amp.GradScalerState).state!.patience, 1);
    assert.throws(() => make(rule, { initScale: 0.5 }), {
      code: 'VALUE',
      message: "loss-scale rule 'megatron': floor must be null or a number above 0 and at most init, not 1",
    });
  });

  test('D7: Keras: 400 after four bad steps is 25, 2 after eight good ones with interval 2 is 32; the rest counts applied steps', () => {
    assert.equal(drive(make(SCALE_RULES.keras, { initScale: 400 }), 'iiii').scales.at(-1), 25);
    const grown = drive(make(SCALE_RULES.keras, { initScale: 2, growthInterval: 2 }), '........');
    assert.equal(grown.scales.at(-1), 32);
    const optimizer = new optim.SGD([new nn.Parameter(tensor([1])), new nn.Parameter(tensor([2]))]);
    const scaler = make(SCALE_RULES.keras);
    scaler.scale(zeros([]));
    optimizer.paramGroups[0]!.params[0]!.grad = tensor([0]);
    scaler.step(optimizer);
    scaler.update();
    assert.equal(scaler.skipped(optimizer), false);
  });

  test('D8: jmp: an explicit floor, factor and period, and every field survives serialisation', () => {
    const rule = {
      ...SCALE_RULES.jmp,
      init: 64,
      growthFactor: 4,
      backoffFactor: 0.25,
      growthInterval: 2,
      floor: 8,
    };
    const scaler = make(rule);
    assert.deepEqual(drive(scaler, '..iii').scales, [64, 256, 64, 16, 8]);
    const saved = JSON.parse(JSON.stringify(scaler.stateDict())) as amp.GradScalerState;
    assert.deepEqual(saved.rule, rule);
    // Into a scaler of another rule, before and after its first use: it goes on as the first would.
    for (const used of [false, true]) {
      const other = new GradScaler({ device: 'cpu' });
      if (used) drive(other, '.');
      other.loadStateDict(saved);
      assert.deepEqual(other.stateDict(), scaler.stateDict());
      assert.deepEqual(drive(other, 'i..').scales, [8, 8, 32]);
    }
  });

  test('D8: a verdict that is not one boolean and a scale that is no number are refused', () => {
    const state = amp.startOf(SCALE_RULES.jmp);
    const verdict = { overflow: [true] as unknown as boolean, largest: null };
    assert.throws(() => amp.advance(SCALE_RULES.jmp, state, verdict), {
      code: 'VALUE',
      message: 'the verdict of a window must be true or false, not boolean[]',
    });
    assert.throws(() => make(SCALE_RULES.jmp, { initScale: '64' }), {
      code: 'VALUE',
      message: "loss-scale rule 'jmp': init must be a number above 0, not 64",
    });
  });

  test('D9: Flax grows one step later than PyTorch and stays between the smallest normal float32 and the largest', () => {
    const options = { initScale: 8, growthInterval: 2 };
    assert.deepEqual(drive(make(SCALE_RULES.torch, options), '......').scales, [8, 16, 16, 32, 32, 64]);
    assert.deepEqual(drive(make(SCALE_RULES.flax, options), '......').scales, [8, 8, 16, 16, 16, 32]);
    const high = make(SCALE_RULES.flax, { initScale: 2 ** 127, growthInterval: 1 });
    assert.deepEqual(drive(high, '....').scales, [
      2 ** 127,
      amp.FLOAT32_MAX,
      amp.FLOAT32_MAX,
      amp.FLOAT32_MAX,
    ]);
    assert.deepEqual(drive(make(SCALE_RULES.flax, { initScale: 2 ** -125 }), 'ii').scales, [
      2 ** -126,
      2 ** -126,
    ]);
  });
});

describe('D4: what makes no sense is refused when the scale moves, and not looked at when it does not', () => {
  const wrong: [Partial<Record<keyof amp.ScaleRule, unknown>>, string][] = [
    [{ growthInterval: 0 }, 'growthInterval must be a whole number of at least 1, not 0'],
    [{ growthInterval: -3 }, 'growthInterval must be a whole number of at least 1, not -3'],
    [{ growthInterval: 2.5 }, 'growthInterval must be a whole number of at least 1, not 2.5'],
    [{ growthInterval: true }, 'growthInterval must be a whole number of at least 1, not true'],
    [{ growthInterval: Infinity }, 'growthInterval must be a whole number of at least 1, not Infinity'],
    [{ floor: 0 }, 'floor must be null or a number above 0 and at most init, not 0'],
    [{ floor: -1 }, 'floor must be null or a number above 0 and at most init, not -1'],
    [{ floor: true }, 'floor must be null or a number above 0 and at most init, not true'],
    [{ floor: Infinity }, 'floor must be null or a number above 0 and at most init, not Infinity'],
    [{ hysteresis: 0 }, 'hysteresis must be a whole number of at least 1, not 0'],
    [{ hysteresis: true }, 'hysteresis must be a whole number of at least 1, not true'],
    [{ growthFactor: 1 }, 'growthFactor must be a number above 1, not 1'],
    [{ backoffFactor: 1 }, 'backoffFactor must be a number between 0 and 1, not 1'],
    [{ ceiling: 2 }, 'ceiling must be null or at least init, not 2'],
    [{ floor: null }, 'raiseAtFloor must be false without a floor, not true'],
  ];
  for (const [part, message] of wrong) {
    test(message, () => {
      const rule = { ...SCALE_RULES.deepspeed, ...part } as amp.ScaleRule;
      assert.throws(() => make(rule), {
        name: 'AmpError',
        code: 'VALUE',
        message: `loss-scale rule 'deepspeed': ${message}`,
      });
      make({ ...rule, kind: 'static' });
      make(rule, { enabled: false });
    });
  }
});

test('K4: any sequence under hysteresis: h−1 overflows change nothing, each later one backs off, a clean one refills', () => {
  const sequences = fc.array(fc.boolean(), { minLength: 1, maxLength: 60 });
  const rules = fc.record({
    hysteresis: fc.integer({ min: 1, max: 5 }),
    growthInterval: fc.integer({ min: 1, max: 6 }),
    init: fc.integer({ min: -149, max: 127 }).map((exponent) => 2 ** exponent),
  });
  let zeros = 0;
  fc.assert(
    fc.property(rules, sequences, (part, overflows) => {
      const rule: amp.ScaleRule = { ...SCALE_RULES.apex, ...part, ceiling: null, refill: 'clean' };
      let state = amp.startOf(rule);
      let inARow = 0;
      let clean = 0;
      for (const overflow of overflows) {
        const before = state.scale;
        state = amp.advance(rule, state, { overflow, largest: null }).state;
        inARow = overflow ? inARow + 1 : 0;
        clean = overflow ? 0 : clean + 1;
        const cut = inARow >= rule.hysteresis;
        const doubled = Math.fround(before * 2);
        const grows = clean === rule.growthInterval && Number.isFinite(doubled);
        if (clean === rule.growthInterval) clean = 0;
        assert.equal(state.scale, cut ? Math.fround(before / 2) : grows ? doubled : before);
        assert.equal(state.tracker, clean);
        if (state.scale === 0) zeros += 1;
      }
    }),
    { numRuns: 400, seed: 4 },
  );
  assert.ok(zeros > 0, 'underflow to 0 is reachable');
});

describe('presets', () => {
  test('carry their names, are sound, and hold the published first scales', () => {
    for (const name of scaleRuleNames) {
      assert.equal(scaleRule(name).name, name);
      amp.checkRule(scaleRule(name));
    }
    assert.deepEqual(
      ['torch', 'apex', 'deepspeed', 'keras', 'flax'].map((name) => Math.log2(scaleRule(name).init)),
      [16, 16, 16, 15, 16],
    );
  });

  test('a misspelled name offers the nearest', () => {
    assert.throws(() => scaleRule('deepsped'), {
      name: 'MezzoError',
      code: 'UNKNOWN_SCALER',
      message: "no loss-scale rule 'deepsped'; did you mean 'deepspeed'?",
      hint: 'the rules are torch, computed, static, apex, deepspeed, megatron, keras, jmp, flax',
    });
  });
});
