import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  autocast,
  full,
  GradScaler,
  nn,
  ones,
  optim,
  type Tensor,
  TrainingStep,
  zeros,
} from '../src/index.ts';
import { bytes, Net, rig, sgd } from './training-step-rig.ts';

const INFINITY = Number.POSITIVE_INFINITY;

test('several optimizers step together or not at all', () => {
  const model = new Net();
  const [body, head] = [
    new optim.SGD([...model.conv.parameters(), ...model.bn.parameters()], { lr: 0.1 }),
    new optim.Adam(model.head.parameters(), { lr: 0.1 }),
  ];
  const scaler = new GradScaler({ device: 'cpu', initScale: 16 });
  const step = new TrainingStep({ model, optimizers: [body, head], scaler });
  const weights = () => model.parameters().map(bytes);
  const batch = () => step.run(() => model.forward(ones([2, 2, 4, 4])).sum());
  const before = weights();
  const hook = step.onGradients(() => model.head.weight.grad!.fill_(Number.NaN));
  assert.deepEqual(batch().culprits, ['head.weight']);
  hook.remove();
  assert.deepEqual(weights(), before);
  assert.deepEqual([body.state.size, head.state.size, scaler.getScale()], [0, 0, 8]);
  assert.deepEqual([scaler.skipped(body), scaler.skipped(head)], [true, true]);
  assert.equal(batch().applied, true);
  assert.ok(weights().every((value, i) => value !== before[i] || model.parameters()[i] === model.conv.bias));
  assert.deepEqual([scaler.skipped(body), scaler.skipped(head)], [false, false]);
});

test('a parameter that only an optimizer knows is named by its place there', () => {
  const model = new Net();
  const extra = new nn.Parameter(ones([1]));
  const optimizers = [new optim.SGD(model.parameters()), new optim.SGD([{ params: [extra] }])];
  const step = new TrainingStep({ model, optimizers });
  step.onGradients(() => extra.grad!.fill_(INFINITY));
  const { culprits } = step.run(() =>
    model
      .forward(ones([2, 2, 4, 4]))
      .sum()
      .mul(extra),
  );
  assert.deepEqual(culprits, ['optimizers.1.paramGroups.0.params.0']);
});

test("only the loss is not finite: 'loss' is named", () => {
  const r = rig(sgd);
  const before = r.bits();
  const result = r.step.run(() =>
    r.model
      .forward(ones([2, 2, 4, 4]))
      .sum()
      .add(INFINITY),
  );
  assert.deepEqual([result.applied, result.culprits], [false, ['loss']]);
  assert.deepEqual(r.bits(), before);
});

test('a buffer that held infinities from the beginning is no culprit', () => {
  const model = new Net();
  model.registerBuffer('mask', full([2], -INFINITY));
  const step = new TrainingStep({ model, optimizers: sgd(model.parameters()) });
  assert.equal(step.run(() => model.forward(ones([2, 2, 4, 4])).sum()).applied, true);
});

test('a module that puts a new tensor in place of a buffer gets the old value back', () => {
  class Counter extends nn.Module {
    weight = new nn.Parameter(ones([1]));
    declare seen: Tensor;
    constructor() {
      super();
      this.registerBuffer('seen', zeros([1]));
    }
    override forward(x: number): Tensor {
      this.seen = this.seen.add(x);
      return this.weight.mul(this.seen);
    }
  }
  const model = new Counter();
  const step = new TrainingStep({ model, optimizers: new optim.SGD(model.parameters()) });
  step.run(() => model.forward(2));
  assert.equal(model.seen.item(), 2);
  assert.equal(step.run(() => model.forward(INFINITY)).applied, false);
  assert.equal(model.seen.item(), 2);
});

test('whatever is thrown, the open window is rolled back', () => {
  const r = rig(sgd, { accumulate: 2 });
  for (let i = 0; i < 2; i++) r.batch(i);
  const before = r.bits();
  r.batch(2);
  assert.throws(
    () =>
      r.step.run(() => {
        r.model.forward(ones([2, 2, 4, 4]));
        r.sum.fill_(3);
        throw new Error('the disk is full');
      }),
    { message: 'the disk is full' },
  );
  assert.deepEqual(r.bits(), before);
  assert.equal(r.step.windows, 1);
});

describe('bad input', () => {
  const { model, step } = rig(sgd, { scaler: new GradScaler({ device: 'cpu' }) });

  test('an async function', () => {
    assert.throws(() => step.run((async () => zeros([])) as never), {
      code: 'ASYNC_REGION',
      message:
        'TrainingStep.run: the function is async. Its region is a property of the thread, so other code would run ' +
        'inside it during an await; pass a synchronous function and await outside',
    });
    assert.throws(() => step.run((() => Promise.resolve(1)) as never), { code: 'ASYNC_REGION' });
  });

  test('a loss that is not one number', () => {
    assert.throws(() => step.run(() => model.forward(ones([2, 2, 4, 4]))), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'TrainingStep.run: the loss must be one number, not a tensor of shape [2, 3]',
      hint: 'reduce it: loss.mean() or loss.sum()',
    });
    assert.throws(() => step.run((() => undefined) as never), {
      message: 'TrainingStep.run: the function must return the loss, a tensor; it gave undefined',
    });
  });

  test('a loss that no parameter has a part in', () => {
    assert.throws(() => step.run(() => ones([1]).requiresGrad_().mul(2)), {
      code: 'ASSERTION',
      message: 'TrainingStep: no parameter of the optimizers has a gradient',
      hint: 'the loss must depend on parameters that were given to the optimizers and require gradients',
    });
  });

  test('fp16 parameters given to the scaler', () => {
    const half = new nn.Linear(2, 2).half();
    const optimizers = new optim.SGD(half.parameters());
    const scaled = new TrainingStep({ model: half, optimizers, scaler: new GradScaler({ device: 'cpu' }) });
    assert.throws(() => scaled.run(() => half.forward(ones([1, 2], { dtype: 'float16' })).sum()), {
      name: 'AmpError',
      code: 'VALUE',
      message: 'Attempting to unscale FP16 gradients.',
      hint:
        'keep the parameters in float32 (master weights) and let autocast cast them: model.float(); ' +
        'with parameters in half precision use bfloat16 and no scaler',
    });
  });

  test('inside autocast', () => {
    assert.throws(
      () => autocast({ device: 'cpu' }, () => step.run(() => model.forward(ones([2, 2, 4, 4])).sum())),
      {
        name: 'AmpError',
        code: 'INSIDE_AUTOCAST',
      },
    );
  });
});
