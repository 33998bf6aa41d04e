import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observe, type Trace } from '@mezzo/precision';
import { autocast, noGrad, scope, setNumThreads } from '@mezzo/torch';
import type { DetectionModel } from '../src/models/build.ts';
import { formulaModel, inputTensor } from './golden.ts';

setNumThreads(1);

type Low = 'bfloat16' | 'float16';

const SETTINGS = { nc: 4, gain: 1.54 };
/** Layers before the neck of YOLOv8. */
const BACKBONE = 10;

const casts = ({ ops }: Trace, layers: RegExp): number =>
  ops
    .filter(({ layer, phase }) => phase === 'forward' && layers.test(layer))
    .reduce((sum, { casts: made }) => sum + made, 0);

const layersBefore = (count: number) =>
  new RegExp(`^model\\.(${Array.from({ length: count }, (_, i) => i).join('|')})(\\.|$)`);

const trace = (model: DetectionModel, low: Low): Trace =>
  scope(() => {
    const images = inputTensor('input', [2, 3, 64, 64]);
    return observe(model, {}, () => {
      autocast({ device: 'cpu', dtype: low }, () => model.maps(images));
    }).trace;
  });

for (const low of ['bfloat16', 'float16'] as const) {
  test(`Y9: between Upsample and Concat nothing is cast, in ${low}`, () => {
    const model = formulaModel('yolov8n', SETTINGS).train();
    const { ops, roundTrips } = trace(model, low);
    const { layers } = model.description;
    const numbers = layers
      .filter(({ module }) => module === 'nn.Upsample' || module === 'Concat')
      .map(({ index }) => index);
    assert.equal(numbers.length, 6);
    const neck = ops.filter(({ layer }) => numbers.some((index) => layer === `model.${index}`));
    const joined = neck.filter(({ op }) => op === 'aten::cat' || op.startsWith('aten::upsample_nearest2d'));
    assert.ok(joined.length >= 2, neck.map(({ op }) => op).join(' '));
    for (const { op, in: inputs, out, casts: made } of joined) {
      assert.equal(made, 0, op);
      assert.deepEqual(new Set([...inputs, ...out]), new Set([low]), op);
    }
    assert.equal(casts({ ops } as Trace, new RegExp(`^model\\.(${numbers.join('|')})$`)), 0);
    assert.deepEqual(
      roundTrips.filter(({ chain }) => chain.some(({ op }) => op === 'aten::cat')),
      [],
    );
  });
}

test('Y11: a frozen backbone casts its weights in the first step and never again', () => {
  const model = formulaModel('yolov8n', SETTINGS).train();
  const backbone = layersBefore(BACKBONE);
  const frozen = [...model.namedParameters()].filter(([name]) => backbone.test(name));
  for (const [, parameter] of frozen) parameter.requiresGrad_(false);
  const weights = frozen.filter(([name]) => name.endsWith('conv.weight'));
  assert.equal(weights.length, 27);
  // The first convolution casts the image as well.
  const steps = [0, 1, 2].map(() => casts(trace(model, 'bfloat16'), backbone));
  assert.deepEqual(steps, [weights.length + 1, 1, 1]);

  scope(() => noGrad(() => weights[0]![1].mul_(2)));
  assert.deepEqual(
    [0, 1].map(() => casts(trace(model, 'bfloat16'), backbone)),
    [2, 1],
  );
});

test('Y11: weights that are trained are cast once a step', () => {
  const model = formulaModel('yolov8n', SETTINGS).train();
  const backbone = layersBefore(BACKBONE);
  const steps = [0, 1].map(() => casts(trace(model, 'bfloat16'), backbone));
  assert.deepEqual(steps, [28, 28]);
});
