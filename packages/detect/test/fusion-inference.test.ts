import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { noGrad, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { identityOf, modelOf, readCheckpoint, writeWeights } from '../src/engine/checkpoint.ts';
import { FUSIONS } from '../src/fusion/fusion-model.ts';
import { streamOf } from '../src/fusion/streams.ts';
import type { DetectionModel } from '../src/models/build.ts';
import { ALL_FUSIONS, formulaDual } from './fusion.ts';
import { assertAllClose, inputTensor, values } from './golden.ts';
import { scratchFolder } from './scratch.ts';

setNumThreads(1);
const folder = scratchFolder();
const IMGSZ = 64;

for (const fusion of FUSIONS.filter((fusion) => fusion !== 'data')) {
  test(`${fusion}: of a sensor that is missing nothing is left, whatever its stream has learned`, () => {
    for (const [modality, first, count] of [
      ['rgb', 0, 3],
      ['ir', 3, 1],
    ] as const) {
      scope(() =>
        noGrad(() => {
          const model = formulaDual({ fusion }, 1.3).eval();
          const boxes = (pixels: Tensor) => values(model.predict(pixels).decoded);
          const images = inputTensor('input', [1, 4, IMGSZ, IMGSZ]);
          const blind = images.clone();
          blind.narrow(1, first, count).zero_();
          const [whole, alone] = [boxes(images), boxes(blind)];
          assert.notDeepEqual(whole, alone);
          const head = `model.${model.description.layers.length - 1}.`;
          for (const [name, parameter] of model.namedParameters()) {
            if (streamOf(model.description, name) === modality && !name.startsWith(head)) parameter.mul_(2);
          }
          assert.deepEqual(boxes(blind), alone, modality);
          assert.notDeepEqual(boxes(images), whole, modality);
        }),
      );
    }
  });
}

for (const { fusion, blocks } of ALL_FUSIONS) {
  test(`${fusion}, ${blocks}: folded, cloned and read back from a file it finds the same boxes`, async () => {
    const model = formulaDual({ fusion, blocks }, 1.3).eval();
    const images = inputTensor('input', [1, 4, IMGSZ, IMGSZ]);
    const predict = (of: DetectionModel) => scope(() => values(noGrad(() => of.predict(images).decoded)));
    const expected = predict(model);
    assertAllClose(predict(model.fused()), expected, { abs: 1e-5 * IMGSZ, rel: 1e-5 }, 'folded');
    assert.deepEqual(predict(model.clone()), expected);
    const file = path.join(folder, `${fusion}-${blocks}.safetensors`);
    writeWeights(file, {
      ...{ identity: identityOf(model), weights: model.stateDict() },
      ...{ data: null, epoch: 0, map50: 0, map: 0 },
    });
    const again = modelOf(await readCheckpoint(file)).eval();
    assert.deepEqual(again.description, model.description);
    assert.deepEqual(predict(again), expected);
  });
}
