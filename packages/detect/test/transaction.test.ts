import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, test } from 'node:test';
import {
  GradScaler,
  keep,
  manualSeed,
  type nn,
  noGrad,
  op,
  randint,
  scope,
  setNumThreads,
  Tensor,
  zerosLike,
} from '@mezzo/torch';
import {
  buildModel,
  buildOptimizer,
  choosePrecision,
  DetectionLoss,
  type DetectionModel,
  ModelEma,
  TrainStep,
} from '../src/index.ts';

const SCALE = 1024;
const ROWS = Float32Array.of(0, 1, 0.5, 0.5, 0.4, 0.6, 1, 2, 0.3, 0.6, 0.5, 0.5);

const viewAs = op<(self: Tensor, dtype: string) => Tensor>('aten::view', 'dtype');
const equal = op<(a: Tensor, b: Tensor) => boolean>('aten::equal');

setNumThreads(1);
manualSeed(0);
const model: DetectionModel = buildModel('yolov8n', { nc: 3 }).train();
const { optimizer } = buildOptimizer(model, { name: 'SGD', lr: 1e-3, momentum: 0.9, weightDecay: 5e-4 });
const ema = new ModelEma(model, model.clone());
const scaler = new GradScaler({ device: 'cpu', initScale: SCALE });
const step = new TrainStep({
  model,
  loss: new DetectionLoss({ nc: 3, strides: model.strides }),
  optimizer: { optimizer, rates: () => [], apply: () => {}, description: '' },
  ema,
  scaler,
  precision: choosePrecision('fp32', 'cpu', false),
  device: 'cpu',
  clip: 10,
});
const images = keep(randint(0, 256, [2, 3, 64, 64], { dtype: 'uint8' }));
const run = (closes = true) => step.run(() => images, ROWS, closes);

/** Everything that a rolled back window must leave alone, but for plain numbers. */
function tensors(): Tensor[] {
  const optimized = model
    .parameters()
    .flatMap((parameter) => Object.values(optimizer.state.get(parameter) ?? {}));
  return [
    ...Object.values(model.stateDict()),
    ...Object.values(ema.model.stateDict()),
    ...(optimized as Tensor[]),
  ];
}

/** And the numbers: optimizer state there is, updates of the average, loss sums, gradients present. */
const numbers = () => [
  optimizer.state.size,
  ema.updates,
  step.lossState(),
  model.parameters().filter(({ grad }) => grad !== null).length,
];

const bits = (tensor: Tensor) => viewAs(tensor.detach().reshape([-1]), 'uint8');

function hash(): string {
  const sha = createHash('sha256').update(JSON.stringify(numbers()));
  scope(() => {
    for (const tensor of tensors()) sha.update(bits(tensor).toTypedArray() as Uint8Array);
  });
  return sha.digest('hex');
}

/** Asserts that `fail` breaks a window and that not one bit is other than before it. */
function assertUntouched(
  saved: readonly Tensor[],
  what: string,
  fail: () => void = () => {},
): readonly string[] {
  const counted = numbers();
  const { windows } = step.transaction;
  scaler.loadStateDict({ ...scaler.stateDict(), scale: SCALE } as never);
  fail();
  const result = run();
  assert.equal(result.applied, false, what);
  assert.equal(result.scale, SCALE, what);
  assert.equal(scaler.getScale(), SCALE / 2, what);
  assert.equal(step.transaction.windows, windows + 1, what);
  assert.deepEqual(numbers(), counted, what);
  scope(() => {
    tensors().forEach((tensor, i) => {
      assert.ok(equal(bits(tensor), bits(saved[i]!)), `${what}: tensor ${i}`);
    });
  });
  return result.culprits;
}

const snapshot = () => tensors().map((tensor) => keep(tensor.detach().clone()));

/** The first tensor among the inputs gets one infinity. */
function withInfinity(inputs: readonly unknown[]): unknown[] {
  const [first, ...rest] = inputs;
  if (Array.isArray(first)) return [withInfinity(first), ...rest];
  assert.ok(first instanceof Tensor);
  const spot = zerosLike(first);
  noGrad(() => spot.flatten().put([0], Number.POSITIVE_INFINITY));
  return [first.add(spot), ...rest];
}

/** The layers of the network, and the modules within them that hold no others, as far as training runs them. */
function executedLayers(): [name: string, layer: nn.Module][] {
  const executed: [string, nn.Module][] = [];
  const named = [...model.namedModules()];
  const hooks = named
    .filter(([name, module]) => /^model\.\d+$/.test(name) || [...module.children()].length === 0)
    .map(([name, module]) =>
      module.registerForwardPreHook(() => {
        executed.push([name, module]);
      }),
    );
  const before = snapshot();
  scope(() => noGrad(() => model.forward(images.float())));
  for (const hook of hooks) hook.remove();
  noGrad(() => {
    tensors().forEach((tensor, i) => {
      tensor.copy_(before[i]!);
    });
  });
  return executed;
}

describe('Y3 YOLOv8n: not one bit changes', () => {
  before(() => {
    for (let i = 0; i < 2; i++) assert.equal(run().applied, true);
  });

  test('Y3 when an infinity comes into each layer in turn', () => {
    const saved = snapshot();
    const whole = hash();
    const layers = executedLayers();
    // Everything that holds trained weights is among them.
    const owners = new Set([...model.namedParameters()].map(([name]) => name.replace(/\.[^.]+$/, '')));
    owners.delete('model.22.dfl.conv');
    for (const [name] of layers) owners.delete(name);
    assert.deepEqual([...owners], []);
    for (const [name, layer] of layers) {
      const hook = layer.registerForwardPreHook((_, inputs) => withInfinity(inputs));
      assert.ok(assertUntouched(saved, `input of ${name}`).length > 0, name);
      hook.remove();
    }
    assert.equal(hash(), whole);
  });

  test("Y3 when an infinity comes into each parameter's gradient in turn, which is named", () => {
    const saved = snapshot();
    const whole = hash();
    let names = 0;
    for (const [name, parameter] of model.namedParameters()) {
      if (!parameter.requiresGrad) continue;
      const value = names % 2 === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
      const hook = parameter.registerHook((grad) => {
        const broken = grad.clone();
        noGrad(() => broken.view(-1).put([-1], value));
        return broken;
      });
      assert.deepEqual(assertUntouched(saved, name), [name]);
      hook.remove();
      names += 1;
    }
    assert.equal(names, 183);
    assert.equal(hash(), whole);
  });

  test('Y3 when only the second batch of a window is broken', () => {
    const saved = snapshot();
    assertUntouched(saved, 'second batch', () => {
      scope(() => run(false));
      model.model.at(3).registerForwardPreHook((_, inputs) => withInfinity(inputs));
    });
  });
});
