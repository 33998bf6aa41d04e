import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nn, noGrad, scope, setNumThreads } from '@mezzo/torch';
import { buildModel } from '../src/models/build.ts';
import {
  assertAllClose,
  assertSummary,
  formulaModel,
  inputTensor,
  readGolden,
  type Summary,
  values,
} from './golden.ts';

interface Golden {
  nc: number;
  ch: number;
  gain: number;
  input_key: string;
  batch: number;
  imgsz: number;
  eval_fused: { params: number; decoded: Summary };
}

setNumThreads(1);

for (const name of ['yolov8n', 'yolov5nu', 'yolo11n']) {
  test(`${name}: the fused copy gives the same boxes and scores within 1e-5 of their range`, () => {
    scope(() => {
      const golden = readGolden<Golden>(`models/${name}.json`);
      const model = formulaModel(name, golden).eval();
      const fused = model.fused();
      const input = inputTensor(golden.input_key, [golden.batch, golden.ch, golden.imgsz, golden.imgsz]);
      const [plain, folded] = noGrad(() => [model, fused].map((each) => each.predict(input).decoded));
      const part = (from: number, count: number) =>
        [plain!, folded!].map((decoded) => values(decoded.narrow(1, from, count)));
      const [boxes, fusedBoxes] = part(0, 4);
      assertAllClose(fusedBoxes!, boxes!, { abs: 1e-5 * golden.imgsz }, 'boxes');
      const [scores, fusedScores] = part(4, golden.nc);
      assertAllClose(fusedScores!, scores!, { abs: 1e-5 }, 'scores');
      assertSummary(folded!, golden.eval_fused.decoded, { abs: 3e-3 }, 'fused');
      assert.equal(
        fused.parameters().reduce((sum, parameter) => sum + parameter.numel(), 0),
        golden.eval_fused.params,
      );
    });
  });
}

test('the fused copy has no BatchNorm, and leaves the model as it is', () => {
  scope(() => {
    const model = buildModel('yolov5n', { nc: 3 });
    const before = Object.keys(model.stateDict());
    const fused = model.fused();
    const norms = (of: typeof model) => [...of.modules()].filter((m) => m instanceof nn.BatchNorm2d).length;
    assert.equal(norms(fused), 0);
    assert.equal(norms(model), 57);
    assert.deepEqual(Object.keys(model.stateDict()), before);
    assert.equal(model.training, true);
    assert.ok(fused.parameters().every((parameter) => !parameter.requiresGrad));
  });
});

test('a copy has the numbers of its model in all their bits, and its dtype', () =>
  scope(() => {
    const model = buildModel('yolov8n', { nc: 1 }).to({ dtype: 'float64' });
    const weight = model.stateDict()['model.0.conv.weight']!;
    noGrad(() => weight.fill_(0.1));
    const copied = model.clone().stateDict()['model.0.conv.weight']!;
    assert.equal(copied.dtype, 'float64');
    assert.ok(copied.equal(weight));
  }));
