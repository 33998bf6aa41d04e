import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  autocast,
  getRngState,
  manualSeed,
  memory,
  nn,
  ones,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '@mezzo/torch';
import {
  type AutopsyReport,
  applyPlan,
  atLayer,
  autopsy,
  autopsyText,
  type CureCode,
  type CureReport,
  type PlanRule,
  type ReplayRegion,
} from '../src/index.ts';
import {
  batchOf,
  freshPerceptron,
  PLANTED_FAULTS,
  type PlantedFault,
  trainPerceptron,
} from './planted-faults.ts';

process.env.OMP_NUM_THREADS ??= '1';

const FP16 = { device: 'cpu', dtype: 'float16' } as const;
const REGION: ReplayRegion = { ...FP16, enabled: true };

/** Everything that a replay could change, as one hash. */
function fingerprint(model: nn.Module, inputs: Readonly<Record<string, Tensor>>): string {
  const hash = createHash('sha256');
  const add = (tensor: Tensor) => {
    const { buffer, byteOffset, byteLength } = tensor.toTypedArray();
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  };
  scope(() => {
    for (const parameter of model.parameters()) {
      add(parameter);
      const { grad } = parameter;
      if (grad === null) hash.update('none');
      else add(grad);
    }
    for (const buffer of model.buffers()) add(buffer);
    for (const input of Object.values(inputs)) add(input);
  });
  hash.update(getRngState());
  hash.update(JSON.stringify(Array.from(model.modules(), ({ training }) => training)));
  return hash.digest('hex');
}

/** Whether a batch, run as a training step would, has a finite loss and finite gradients. */
function trainsFinitely(
  fault: PlantedFault,
  model: nn.Module,
  inputs: Record<string, Tensor>,
  scale: number,
): boolean {
  model.zeroGrad();
  return scope(() => {
    const loss = batchOf(fault, model, inputs)(REGION);
    loss.mul(scale).backward();
    const finite = [loss, ...model.parameters().map(({ grad }) => grad!)].every((each) =>
      each.isfinite().all().item(),
    );
    model.zeroGrad();
    return finite;
  });
}

type Applied = (fault: PlantedFault, cure: CureReport) => boolean;

const run = (fault: PlantedFault, cure: CureReport, model: nn.Module, inputs = fault.inputs()) =>
  trainsFinitely(fault, model, inputs, cure.scale ?? fault.scale);

/** The cures as a user applies them: from what the report says to copy, without the autopsy's own machinery. */
const APPLIED: Partial<Record<CureCode, Applied>> = {
  'fp32-op': (fault, cure) => {
    const model = fault.model();
    const rule = JSON.parse(cure.how!.slice(cure.how!.indexOf('{'))) as PlanRule;
    applyPlan(model, { version: 1, base: 'float16', rules: [rule], history: [] });
    return run(fault, cure, model);
  },
  clamp: (fault, cure) => run(fault, cure, fault.model({ clamp: cure.value! })),
  eps: (fault, cure) => run(fault, cure, fault.model({ eps: cure.value! })),
  'fix-data': (fault, cure) => {
    const inputs = Object.entries(fault.inputs()).map(([name, x]) => [name, x.nanToNum(0.5)] as const);
    return run(fault, cure, fault.model(), Object.fromEntries(inputs));
  },
  'lower-learning-rate': (_fault, cure) => {
    const losses = trainPerceptron(freshPerceptron(), cure.learningRate!, 200);
    return losses.every(Number.isFinite) && losses.at(-1)! < losses[0]! / 2;
  },
};

for (const fault of PLANTED_FAULTS) {
  test(`autopsy of ${fault.name}: layer and op are found, the cure works, nothing is touched`, () => {
    const model = fault.model();
    const inputs = fault.inputs();
    for (const parameter of model.parameters()) parameter.grad = parameter.detach().mul(2);
    const before = fingerprint(model, inputs);
    const report = autopsy({
      model,
      run: batchOf(fault, model, inputs),
      precision: FP16,
      scale: fault.scale,
      inputs,
      learningRate: fault.learningRate,
    });
    assert.equal(fingerprint(model, inputs), before);
    const { layer, op, phase } = report.fault!;
    assert.deepEqual({ finding: report.finding, phase, layer, op, cure: report.cure?.code }, fault.found);
    assert.equal(trainsFinitely(fault, fault.model(), fault.inputs(), fault.scale), false);
    assert.equal(APPLIED[report.cure!.code]!(fault, report.cure!), true);
  });
}

const planted = (name: string): PlantedFault => PLANTED_FAULTS.find((fault) => fault.name === name)!;

function report(name: string): AutopsyReport {
  const fault = planted(name);
  const [model, inputs] = [fault.model(), fault.inputs()];
  return autopsy({ model, run: batchOf(fault, model, inputs), precision: FP16, scale: fault.scale, inputs });
}

test('every cure that is said to work or to fail was replayed', () => {
  const verdicts = report('log 0').cures.map(({ code, works }) => [code, works]);
  assert.deepEqual(verdicts, [
    ['fp32-op', false],
    ['clamp', true],
    ['fp32-layer', true],
    ['bf16', true],
    ['fp32', true],
  ]);
});

test('the data: value, place and count of what is not finite', () => {
  const { inputs, text } = report('a NaN pixel');
  assert.deepEqual(inputs, [
    { name: 'images', count: 1, index: [1, 2, 3, 5], value: 'nan', place: 'index [1, 2, 3, 5]' },
  ]);
  assert.equal(
    text,
    "The batch is not finite: images holds nan at index [1, 2, 3, 5]. The first to read that is conv2d in layer 'conv'.",
  );
});

class Squares extends nn.Layer {
  readonly project = new nn.Linear(4, 4, { bias: false });

  override forward(x: Tensor): Tensor {
    return this.project.forward(x).square();
  }
}

test('a scale that is too large: the largest power of two that works is told', () => {
  manualSeed(1);
  const model = new Squares();
  const x = ones([8, 4]);
  const loss = (region: ReplayRegion) =>
    autocast(region, () => model.forward(x))
      .float()
      .sum();
  const finite = (scale: number) => {
    model.zeroGrad();
    scope(() => loss(REGION).mul(scale).backward());
    return model.project.weight.grad!.isfinite().all().item();
  };
  const scale = 2 ** 24;
  const largest = Array.from({ length: 24 }, (_, i) => 2 ** (23 - i)).find(finite)!;
  model.zeroGrad();
  const { finding, cure, fault } = autopsy({ model, run: loss, precision: FP16, scale });
  assert.equal(finding, 'scale-too-large');
  assert.equal(cure?.code, 'lower-scale');
  assert.equal(cure?.scale, largest);
  assert.equal(fault?.phase, 'backward');
  assert.equal(autopsy({ model, run: loss, precision: FP16, scale: largest }).finding, 'finite');
});

test('weights that are not finite are named', () => {
  const fault = planted('a weight above 65504');
  const [model, inputs] = [fault.model(), fault.inputs()];
  scope(() => model.parameters()[0]!.detach().put([0, 0], Number.POSITIVE_INFINITY));
  const { finding, state, cure } = autopsy({ model, run: batchOf(fault, model, inputs), precision: FP16 });
  assert.equal(finding, 'state-not-finite');
  assert.deepEqual(state, [
    { name: 'first.weight', kind: 'parameter', largest: null },
    { name: 'second.weight', kind: 'parameter', largest: 70_000 },
  ]);
  assert.equal(cure?.code, 'restore-weights');
});

test('a fault outside the model has a cure as well', () => {
  const model = new nn.Linear(4, 4);
  const x = ones([2, 4]);
  const run = (region: ReplayRegion) =>
    autocast(region, () => {
      const y = model.forward(x);
      return atLayer('loss', () => y.mul(0).add(12).exp().float().mean());
    });
  const { finding, fault, cure } = autopsy({ model, run, precision: FP16 });
  assert.equal(finding, 'beyond-range');
  assert.equal(fault?.layer, 'loss');
  assert.equal(fault?.module, null);
  assert.equal(fault?.op, 'aten::exp');
  assert.deepEqual(cure, {
    code: 'fp32-op',
    text: "run exp in 'loss' in float32",
    how: 'x.float()',
    works: true,
  });
});

class Standardise extends nn.Layer {
  readonly project = new nn.Linear(4, 4);

  override forward(x: Tensor): Tensor {
    const y = this.project.forward(x);
    const centred = y.sub(y.mean(0, true));
    return centred.div(centred.square().mean(0, true).sqrt());
  }
}

test('where one clamp brings the next fault to light, both are told', () => {
  const model = new Standardise();
  const x = ones([3, 4]);
  const run = (region: ReplayRegion) =>
    autocast(region, () => model.forward(x))
      .float()
      .sum();
  const { finding, fault, cure } = autopsy({ model, run, precision: FP16, scale: 128 });
  assert.equal(finding, 'undefined-value');
  assert.equal(fault?.op, 'aten::div');
  assert.equal(cure?.code, 'clamp');
  assert.equal(cure?.how, 'divisor.clampMin(9.8e-4), x.clampMin(6.1e-5)');
});

test('an autopsy leaves no tensor behind', () => {
  const fault = planted('zero-variance BatchNorm');
  const [model, inputs] = [fault.model(), fault.inputs()];
  const examine = () =>
    autopsy({ model, run: batchOf(fault, model, inputs), precision: FP16, scale: fault.scale, inputs });
  scope(() => void examine());
  memory.collectGarbage();
  const before = memory.stats().liveTensors;
  scope(() => void examine());
  assert.equal(memory.stats().liveTensors, before);
});

class Noisy extends nn.Layer {
  readonly project = new nn.Linear(64, 64);
  readonly dropout = new nn.Dropout(0.5);

  override forward(x: Tensor): Tensor {
    return this.dropout.forward(this.project.forward(x));
  }
}

test('random numbers are those of the batch', () => {
  const model = new Noisy();
  const x = ones([1, 64]);
  const masks: string[] = [];
  const run = (region: ReplayRegion) => {
    const y = autocast(region, () => model.forward(x)).float();
    masks.push(y.eq(0).toTypedArray().join(''));
    return y.sum().div(0);
  };
  manualSeed(7);
  const random = { cpu: getRngState() };
  run(REGION);
  const [first] = masks;
  const after = getRngState();
  autopsy({ model, run, precision: FP16, random });
  assert.ok(masks.length >= 4);
  assert.ok(masks.every((mask) => mask === first));
  assert.deepEqual(getRngState(), after);
});

test('a run that sets its own region is told that other precisions were not tried', () => {
  const fault = planted('exp');
  const [model, inputs] = [fault.model(), fault.inputs()];
  const { cures, finding } = autopsy({
    model,
    run: () => batchOf(fault, model, inputs)(REGION),
    precision: FP16,
  });
  const note = 'not tried: run does not use the autocast region that it is given';
  assert.deepEqual(
    cures.slice(-2).map(({ code, works, note }) => ({ code, works, note })),
    [
      { code: 'bf16', works: null, note },
      { code: 'fp32', works: null, note },
    ],
  );
  assert.equal(finding, 'beyond-range');
});

test('attention masks of -inf are not taken for the fault', () => {
  const model = new nn.Linear(4, 4);
  const x = ones([4, 4]);
  const mask = tensor([true, false, false, false]);
  const run = (region: ReplayRegion) =>
    autocast(region, () => {
      const weights = model.forward(x).maskedFill(mask, Number.NEGATIVE_INFINITY).softmax(-1);
      return weights.float().sum().add(weights.mul(0).add(20).exp().float().mean());
    });
  assert.equal(autopsy({ model, run, precision: FP16 }).fault?.op, 'aten::exp');
});

test('a loss that is not one number is refused, and nothing is touched', () => {
  const model = new nn.Linear(4, 4);
  const x = ones([2, 4]);
  const before = fingerprint(model, { x });
  assert.throws(() => autopsy({ model, run: () => model.forward(x), precision: FP16 }), {
    code: 'BAD_ARGUMENT',
    message:
      'autopsy: run returned a tensor of shape [2, 4]; it must return the loss, a tensor of one number',
  });
  assert.equal(fingerprint(model, { x }), before);
});

test('the report as text', () => {
  const text = autopsyText({ ...report('exp'), seconds: 0.12 });
  assert.equal(
    text,
    `Autopsy: a value beyond the range of the precision (beyond-range)
  exp in layer 'faulty' turned finite numbers (largest 12) into infinity or NaN, in float16 because
  its inputs are. In float32 this batch is finite: float16 ends at 65504.

  layer     faulty (Formula)
  op        aten::exp, forward
  dtype     float16, because its inputs are (rule: inputs)
  read      float16 [2, 4], largest 12
  made      float16 [2, 4]
  run       float16 on cpu, loss scale 128

Cure: run exp in layer 'faulty' in float32
      precision=PLAN.json with the rule {"layers":"faulty","ops":["aten::exp"],"dtype":"float32","reason":"exp overflowed"}

Tried on this batch, cheapest first:
  works     run exp in layer 'faulty' in float32
  works     clamp the input of exp to at most 11 in layer 'faulty'
  works     keep layer 'faulty' in float32
  works     train in bfloat16, which has the range of float32
  works     train in float32

6 replays, 0.1 s; the training state is untouched`,
  );
});

test('the report is JSON', () => {
  const found = report('sqrt at 0');
  assert.deepEqual(JSON.parse(JSON.stringify(found)), found);
});

test('buffers that BatchNorm poisons are named and restored', () => {
  const model = new nn.BatchNorm2d(2);
  const x = zeros([2, 2, 3, 3]).put([0, 0, 0, 0], Number.NaN);
  const before = fingerprint(model, { x });
  const run = () => model.forward(x).sum();
  const { replay } = autopsy({ model, run, precision: { device: 'cpu', dtype: 'float32' }, inputs: { x } });
  assert.deepEqual(replay.buffers, ['running_mean', 'running_var']);
  assert.equal(fingerprint(model, { x }), before);
});
