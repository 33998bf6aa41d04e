import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nn, noGrad, tensor } from '@mezzo/torch';
import { ModelEma } from '../src/engine/ema.ts';
import { assertClose, readGolden } from './golden.ts';

interface EmaGolden {
  decay: number;
  tau: number;
  decay_for_update_1_to_200: number[];
  decay_more: [update: number, decay: number][];
  scalar_model_values: number[];
  scalar_ema_after_update: number[];
}

const golden = readGolden<{ ema: EmaGolden }>('schedule.json').ema;

class Scalar extends nn.Module {
  readonly weight = new nn.Parameter(tensor([0]));

  override forward(): never {
    throw new Error('not called');
  }
}

test('decay of the first updates and of late ones', () => {
  const ema = new ModelEma(new Scalar(), new Scalar(), golden);
  golden.decay_for_update_1_to_200.forEach((decay, i) => {
    assertClose(ema.decay(i + 1), decay, { rel: 1e-12 }, `update ${i + 1}`);
  });
  for (const [update, decay] of golden.decay_more)
    assertClose(ema.decay(update), decay, { rel: 1e-12 }, `${update}`);
});

test('a scalar follows the model for 200 updates', () => {
  const [source, twin] = [new Scalar(), new Scalar()];
  const [start] = golden.scalar_model_values;
  noGrad(() => twin.weight.fill_(start!));
  const ema = new ModelEma(source, twin, golden);
  golden.scalar_ema_after_update.forEach((expected, i) => {
    noGrad(() => source.weight.fill_(golden.scalar_model_values[i + 1]!));
    ema.update();
    assertClose(ema.model.weight.item() as number, expected, { rel: 1e-6 }, `update ${i + 1}`);
  });
  assert.equal(ema.updates, 200);
  assert.equal(ema.model.training, false);
  assert.equal(ema.model.weight.requiresGrad, false);
  assert.equal(source.weight.requiresGrad, true);
});
