import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noGrad, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { type OnnxOptions, onnxModel } from '../src/export/index.ts';
import { ALL_FUSIONS, formulaDual } from './fusion.ts';
import { assertAllClose, inputTensor, values } from './golden.ts';
import { readOnnx } from './onnx-file.ts';
import { runOnnx } from './run-onnx.ts';

setNumThreads(1);
const BOX = { abs: 3e-3 };
const SCORE = { abs: 1e-4 };

const options = (changes: Partial<OnnxOptions>): OnnxOptions => ({
  ...{ imgsz: 64, batch: 2, dynamic: false, half: false, opset: 17, version: '1.2.3', nms: null },
  ...changes,
});

for (const { fusion, blocks } of ALL_FUSIONS) {
  test(`${fusion}, ${blocks}: static, dynamic and fp16 graphs compute what the model does, with a sensor missing too`, () => {
    scope(() => {
      const model = formulaDual({ fusion, blocks }, 1.2).eval();
      const images = inputTensor('input', [2, 4, 64, 64]);
      // The second picture has no infrared.
      images.narrow(0, 1, 1).narrow(1, 3, 1).zero_();
      const wanted = noGrad(() => model.predict(images).decoded);
      const compare = (found: Tensor, what: string) => {
        assert.deepEqual(found.shape, wanted.shape, what);
        const part = (of: Tensor, from: number, count: number) => values(of.narrow(1, from, count));
        assertAllClose(part(found, 0, 4), part(wanted, 0, 4), BOX, `${what}: box`);
        assertAllClose(part(found, 4, 3), part(wanted, 4, 3), SCORE, `${what}: score`);
      };
      for (const changes of [{}, { dynamic: true, opset: 21 }]) {
        const { chunks, input } = onnxModel(model, options(changes));
        assert.equal(input.shape[1], 4);
        compare(runOnnx(readOnnx(chunks), images), JSON.stringify(changes));
      }
      const small = onnxModel(model, options({ half: true }));
      const found = runOnnx(readOnnx(small.chunks), images);
      assertAllClose(values(found), values(wanted), { abs: 2 }, 'fp16');
    });
  });
}
