import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, manualSeed, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { DetectionLoss, syntheticBatch } from '../src/index.ts';
import type { DetectionModel } from '../src/models/build.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { ALL_FUSIONS, dualModel } from './fusion.ts';

setNumThreads(1);
const IMGSZ = 64;

const lossFor = (model: DetectionModel) => new DetectionLoss({ nc: model.nc, strides: model.strides });

/** Loss and norm of all gradients of one step. */
function step(model: DetectionModel, images: Tensor, rows: Float32Array, dtype: 'fp32' | 'bf16'): number[] {
  return scope(() => {
    for (const parameter of model.parameters()) parameter.grad = null;
    const run = () => model.forward(images) as HeadMaps;
    const maps = dtype === 'fp32' ? run() : autocast({ device: 'cpu', dtype: 'bfloat16' }, run);
    const { total } = lossFor(model).forward(maps, rows);
    total.backward();
    const grads = model.parameters().flatMap(({ grad }) => (grad === null ? [] : [grad]));
    const squares = grads.map((grad) => Number(grad.square().sum().item()));
    return [Number(total.item()), Math.sqrt(squares.reduce((sum, square) => sum + square, 0))];
  });
}

for (const { fusion, blocks } of ALL_FUSIONS) {
  test(`${fusion}, ${blocks}: losses and gradients are finite with both sensors, without either, in fp32 and bf16`, () => {
    manualSeed(0);
    const model = dualModel({ fusion, blocks }).train();
    const { images, rows } = syntheticBatch(2, 4, IMGSZ, 3);
    const whole = images.float().div(255);
    const without = (first: number, count: number) => {
      const blind = whole.clone();
      blind.narrow(1, first, count).zero_();
      return blind;
    };
    const [, usual] = step(model, whole, rows, 'fp32');
    for (const [what, batch] of [
      ['both', whole],
      ['no infrared', without(3, 1)],
      ['no visible light', without(0, 3)],
    ] as const) {
      for (const dtype of ['fp32', 'bf16'] as const) {
        const [loss, norm] = step(model, batch, rows, dtype);
        assert.ok(loss! > 0 && loss! < 50, `${what}, ${dtype}: loss ${loss}`);
        // A sensor that is missing must not make a step that clipping would cut down to nothing.
        assert.ok(norm! > 0 && norm! < 20 * usual!, `${what}, ${dtype}: norm ${norm}, with both ${usual}`);
      }
    }
    const reached = model.parameters().filter(({ requiresGrad, grad }) => requiresGrad && grad === null);
    assert.equal(reached.length, 0, 'every parameter receives a gradient');
  });
}
