import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keep, manualSeed, nn, noGrad, randn, type Tensor } from '@mezzo/torch';
import { runControlPass } from '../src/preflight/control-pass.ts';
import { type Comparison, judgeComparison, type RoundingPrice } from '../src/preflight/judge.ts';
import { ROUNDING } from '../src/preflight/limits.ts';
import { PriceOfRounding } from '../src/preflight/price-of-rounding.ts';
import { runPass } from '../src/preflight/run-pass.ts';
import type { PreflightSubject } from '../src/preflight/subject.ts';

/** A comparison of which the whole gradient and that of two layers have these cosines. */
const compared = (cosine: number, layers: readonly [number, number]): Comparison => ({
  lossGap: 0,
  gradients: {
    cosine,
    ratio: 1,
    norm: 1,
    layers: layers.map((each, i) => ({
      layer: `layer${i}`,
      cosine: each,
      ratio: 1,
      share: 0.7,
      zeroed: 0,
    })),
  },
  differences: {},
});

const price = (once: Comparison, most: Comparison, unstable = false): RoundingPrice => ({
  once,
  most,
  unstable,
});

const judged = (found: Comparison, against: RoundingPrice) =>
  judgeComparison('bfloat16', found, against).map(({ message }) => message);

describe('what stands out against one way of rounding is measured against several', () => {
  const found = compared(0.9, [0.3, 0.95]);
  const once = compared(0.9, [0.9, 0.9]);

  test('another way turns the layer as far: no fault', () => {
    assert.deepEqual(judged(found, price(once, compared(0.9, [0.6, 0.9]))), []);
  });

  test('none does: the layer is named', () => {
    assert.deepEqual(judged(found, price(once, compared(0.9, [0.8, 0.9]))), [
      'gradients in bfloat16 point elsewhere than in float32, far more than rounding explains: layer0 (cosine 0.30)',
    ]);
  });

  test('nothing stands out: one pass is enough', () => {
    const further = {
      once,
      get most(): never {
        throw new Error('not asked for');
      },
      unstable: false,
    };
    assert.deepEqual(judged(compared(0.95, [0.9, 0.9]), further), []);
  });

  test('a direction that rounding leaves nothing of: the fault of the format unless the batch has none', () => {
    const lost = compared(0.05, [0, 0]);
    assert.deepEqual(judged(compared(0.2, [0.1, 0.1]), price(lost, lost)), [
      'rounding to bfloat16 alone turns the gradient into another: cosine 0.05',
    ]);
    assert.deepEqual(judged(compared(0.2, [0.1, 0.1]), price(lost, lost, true)), []);
  });
});

describe('a control pass', () => {
  /** Keeps the weight that each pass read. */
  const watched = () => {
    manualSeed(2);
    const model = new nn.Sequential(
      new nn.Linear(64, 64, { bias: false }),
      new nn.Tanh(),
      new nn.Linear(64, 1),
    );
    const { weight } = model.at(0) as nn.Linear;
    const x = keep(randn([8, 64]));
    const seen: Tensor[] = [];
    const subject: PreflightSubject<null> = {
      model,
      device: 'cpu',
      low: 'bfloat16',
      batch: 8,
      run: () => {
        seen.push(keep(noGrad(() => weight.detach().clone())));
        return { loss: (model.forward(x) as Tensor).square().mean(), outputs: {}, detail: null };
      },
    };
    return { subject, weight, seen };
  };
  const layers = new Set(['0', '1', '2']);

  for (const stretch of [1, 0.8, 1.25]) {
    test(`rounds on a grid stretched by ${stretch} by at most one rounding, and gives the weights back`, () => {
      const { subject, weight, seen } = watched();
      const before = weight.detach().clone();
      const error = () => Number(seen.at(-1)!.sub(before).div(before).abs().max().item());
      runControlPass(subject, 8, { layers, of: 'weights', stretch });
      assert.ok(error() <= ROUNDING.bfloat16! * 1.001 && error() > ROUNDING.bfloat16! / 2, String(error()));
      const low = Number(seen.at(-1)!.eq(before.to('bfloat16').float()).all().item());
      assert.equal(low, stretch === 1 ? 1 : 0);
      assert.ok(weight.detach().eq(before).all().item());
    });
  }

  test('the most of several is at least what one says, in everything', () => {
    const { subject } = watched();
    const reference = runPass(subject, { batch: 8, dtype: 'float32', scale: 1 });
    const of = new PriceOfRounding(subject, reference, layers);
    const [once, most] = [of.once!, of.most!];
    assert.ok(most.lossGap >= once.lossGap && once.lossGap > 0);
    assert.ok(most.gradients.cosine <= once.gradients.cosine && once.gradients.cosine < 1);
    most.gradients.layers.forEach(({ layer, cosine }, i) => {
      assert.equal(layer, once.gradients.layers[i]!.layer);
      assert.ok(cosine <= once.gradients.layers[i]!.cosine);
    });
    assert.equal(of.unstable, false);
  });
});
