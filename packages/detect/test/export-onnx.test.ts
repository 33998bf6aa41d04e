import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { loadSafetensors, MezzoError, nn, noGrad, scope, type Tensor, tensor } from '@mezzo/torch';
import { type OnnxOptions, onnxModel } from '../src/export/index.ts';
import { buildModel, type DetectionModel } from '../src/models/build.ts';
import { modelNames, resolveModel } from '../src/models/description.ts';
import { formulaWeights } from './formula.ts';
import { assertAllClose, fixturePath, formulaModel, inputTensor, readGolden, values } from './golden.ts';
import { readOnnx } from './onnx-file.ts';
import { runOnnx } from './run-onnx.ts';

const BOX = { abs: 3e-3 };
const SCORE = { abs: 1e-4 };
const NMS = { conf: 0.05, iou: 0.5, maxDet: 50, agnostic: false };

interface Golden {
  gain: number;
  variants: {
    variant: string;
    inputs: { name: string; shape: (number | string)[] }[];
    outputs: { name: string; shape: (number | string)[] }[];
    metadata_keys: string[];
  }[];
}

const golden = readGolden<Golden>('onnx.json');
const expected = loadSafetensors(fixturePath('onnx.safetensors')).tensors;
let tiny: DetectionModel;

const options = (changes: Partial<OnnxOptions> = {}): OnnxOptions => ({
  ...{ imgsz: 128, batch: 1, dynamic: false, half: false, opset: 17, version: '1.2.3', nms: null },
  ...changes,
});

/** Boxes within 3e-3 px and scores within 1e-4; predictions are [B, 4 + C, A]. */
function assertPredictions(found: Tensor, wanted: Tensor, what: string): void {
  assert.deepEqual(found.shape, wanted.shape, what);
  const parts = (of: Tensor) =>
    scope(() => [values(of.narrow(1, 0, 4)), values(of.narrow(1, 4, of.shape[1]! - 4))]);
  const [boxes, scores] = parts(found);
  const [wantedBoxes, wantedScores] = parts(wanted);
  assertAllClose(boxes!, wantedBoxes!, BOX, `${what}: boxes`);
  assertAllClose(scores!, wantedScores!, SCORE, `${what}: scores`);
}

/** Formula weights; the anchors of YOLOv5 stay. */
function setWeights(model: DetectionModel, gain: number): void {
  scope(() =>
    noGrad(() => {
      for (const [key, target] of Object.entries(model.stateDict())) {
        if (key.endsWith('.anchors')) continue;
        target.copy_(tensor(formulaWeights(key, target.shape, gain)).view(target.shape));
      }
    }),
  );
}

before(() => {
  // The reference exported weights that had been stored as fp16.
  const table = { ...resolveModel('yolov8n').table, scale: 't', scales: { t: [0.33, 0.0625, 256] } };
  tiny = formulaModel(table, { nc: 3, gain: golden.gain }).eval();
  scope(() =>
    noGrad(() => {
      for (const value of Object.values(tiny.stateDict()))
        if (value.isFloatingPoint()) value.copy_(value.half());
    }),
  );
});

test('the static graph gives what the reference exporter and onnxruntime gave', () => {
  const file = readOnnx(onnxModel(tiny, options()).chunks);
  assertPredictions(runOnnx(file, inputTensor('input', [1, 3, 128, 128])), expected.output_static!, 'static');
});

test('the dynamic graph takes another batch and another size', () => {
  const file = readOnnx(onnxModel(tiny, options({ dynamic: true })).chunks);
  const run = (shape: number[]) => runOnnx(file, inputTensor('input', shape));
  assertPredictions(run([1, 3, 128, 128]), expected.output_static!, 'same size');
  assertPredictions(run([2, 3, 128, 128]), expected.output_dynamic_batch2!, 'two images');
  assertPredictions(run([1, 3, 96, 160]), expected.output_dynamic_96x160!, '96 x 160');
});

test('suppression in the graph keeps the boxes that the reference keeps', () => {
  const { chunks, output } = onnxModel(tiny, options({ nms: NMS }));
  assert.deepEqual(output, { name: 'output0', shape: [1, 50, 6] });
  const found = values(runOnnx(readOnnx(chunks), inputTensor('input', [1, 3, 128, 128])));
  assertAllClose(found, values(expected.output_nms!), BOX, 'rows');
});

test('with more room than boxes the rest is zero, in every image of a batch', () => {
  const nms = { ...NMS, maxDet: 400, conf: 0.065, agnostic: true };
  const file = readOnnx(onnxModel(tiny, options({ nms, dynamic: true })).chunks);
  const rows = runOnnx(file, inputTensor('input', [2, 3, 128, 128]));
  assert.deepEqual(rows.shape, [2, 400, 6]);
  for (const image of [0, 1]) {
    const all = values(rows.select(0, image).contiguous());
    const count = Array.from({ length: 400 }, (_, i) => all[6 * i + 4]!).filter((score) => score > 0).length;
    assert.ok(count > 0 && count < 50, `${count} boxes`);
    assert.ok(all.subarray(6 * count).every((value) => value === 0));
  }
});

test('input, output and their names are those of the reference exporter', () => {
  for (const { variant, inputs, outputs } of golden.variants) {
    const changes = { static: {}, dynamic: { dynamic: true }, nms: { nms: NMS } }[variant]!;
    const file = readOnnx(onnxModel(tiny, options(changes)).chunks);
    assert.deepEqual(file.inputs, [{ name: inputs[0]!.name, type: 'float32', shape: inputs[0]!.shape }]);
    const shape = variant === 'dynamic' ? ['batch', 7, 'anchors'] : outputs[0]!.shape;
    assert.deepEqual(file.outputs, [{ name: 'output0', type: 'float32', shape }]);
  }
});

test('metadata has the keys that programs read, in their notation, and our own licence', () => {
  const model = buildModel('yolov8n', { nc: 2, names: ["rock 'n' roll", 'back\\slash'] });
  const { metadata, ir, opset, producer } = readOnnx(
    onnxModel(model, options({ nms: NMS, batch: 2, imgsz: 64 })).chunks,
  );
  const { date, ...rest } = metadata;
  assert.ok(Math.abs(Date.parse(date!) - Date.now()) < 3.6e6);
  assert.deepEqual(rest, {
    description: 'yolov8n, a detector of 2 classes',
    author: 'Mezzo',
    version: '1.2.3',
    license: 'Apache-2.0',
    stride: '32',
    task: 'detect',
    batch: '2',
    imgsz: '[64, 64]',
    names: "{0: 'rock \\'n\\' roll', 1: 'back\\\\slash'}",
    args: "{'batch': 2, 'half': False, 'dynamic': False, 'simplify': False, 'opset': 17, 'nms': True}",
    channels: '3',
    end2end: 'False',
  });
  // Of the reference's keys two are left out: the address of its documentation, and the class name of its head.
  const missing = golden.variants[0]!.metadata_keys.filter((key) => !(key in metadata));
  assert.deepEqual(missing, ['docs', 'head']);
  assert.deepEqual([ir, opset, producer], [8, 17, 'Mezzo']);
});

test('weights are those of the folded model by name, and there is no BatchNorm', () => {
  const file = readOnnx(onnxModel(tiny, options()).chunks);
  assert.ok(file.nodes.every(({ type }) => type !== 'BatchNormalization'));
  const convolutions = Array.from(tiny.modules()).filter((module) => module instanceof nn.Conv2d).length;
  // The frozen convolution of the distribution is a sum in the graph.
  assert.equal(file.nodes.filter(({ type }) => type === 'Conv').length, convolutions - 1);
  assert.deepEqual(
    values(file.weights['model.22.cv2.0.2.weight']!),
    values(tiny.stateDict()['model.22.cv2.0.2.weight']!),
  );
  assert.equal(new Set(file.nodes.map(({ name }) => name)).size, file.nodes.length, 'names are unique');
});

for (const [name, gain, ch] of [
  ['yolov8n', 1.2, 1],
  ['yolo11n', 1.56, 3],
  ['yolov5nu', 1.61, 3],
  ['yolov5n', 1.5, 3],
] as const) {
  test(`${name} with ${ch} channels: static, dynamic and fp16 graphs compute what the model does`, () => {
    const model = buildModel(name, { nc: 2, ch }).eval();
    setWeights(model, gain);
    const images = inputTensor('input', [2, ch, 64, 64]);
    const wanted = scope(() => noGrad(() => model.predict(images).decoded));
    for (const changes of [{ batch: 2 }, { dynamic: true, opset: 21 }]) {
      const file = onnxModel(model, options({ imgsz: 64, ...changes }));
      const found = runOnnx(readOnnx(file.chunks), images);
      assertPredictions(found, wanted, `${name} ${JSON.stringify(changes)}`);
      if (!('dynamic' in changes)) assert.deepEqual(file.output.shape, found.shape);
    }
    const small = onnxModel(model, options({ imgsz: 64, batch: 2, half: true }));
    assert.ok(small.half!.values > 1e6 && small.half!.flushed < 100 && small.half!.rounding <= 2 ** -11);
    assertAllClose(
      values(runOnnx(readOnnx(small.chunks), images)),
      values(wanted),
      { abs: 2 },
      `${name} fp16`,
    );
  });
}

test('every published model has a form in ONNX', () => {
  for (const name of modelNames().filter((name) => /[sm]u?$/.test(name))) {
    scope(() => {
      const { chunks, bytes } = onnxModel(buildModel(name), options({ imgsz: 64 }));
      assert.equal(
        chunks.reduce((sum, { byteLength }) => sum + byteLength, 0),
        bytes,
      );
    });
  }
});

test('weights that fp16 cannot hold are named with their magnitudes, and nothing is made', () => {
  const model = buildModel('yolov8n', { nc: 1 });
  noGrad(() => {
    model.stateDict()['model.22.cv3.0.2.bias']!.fill_(-70000);
    model.stateDict()['model.22.cv2.1.2.bias']!.fill_(Number.NaN);
  });
  assert.throws(
    () => onnxModel(model, options({ half: true })),
    (error) => {
      assert.ok(error instanceof MezzoError);
      assert.equal(error.code, 'HALF_RANGE');
      assert.equal(
        error.message,
        '2 tensors do not fit into fp16: model.22.cv3.0.2.bias (70000: beyond 65504), ' +
          'model.22.cv2.1.2.bias (NaN: not finite)',
      );
      assert.equal(error.hint, 'export without half=true; nothing is clipped or changed to make it fit');
      return true;
    },
  );
});

test('weights that fade in fp16 are counted and named', () => {
  const model = buildModel('yolov8n', { nc: 1 });
  noGrad(() => model.stateDict()['model.22.cv3.0.2.bias']!.fill_(1e-9));
  const { half } = onnxModel(model, options({ half: true }));
  assert.deepEqual(
    half!.faint.map(({ name }) => name),
    ['model.22.cv3.0.2.bias'],
  );
  assert.ok(half!.flushed >= 1);
});

test('a block without a form in ONNX is named', () => {
  class Square extends nn.Layer {
    override forward(x: Tensor): Tensor {
      return x.square();
    }
  }
  const model = buildModel('yolov8n', { nc: 1 });
  (model.model.at(22) as unknown as { cv2: nn.ModuleList<nn.Sequential> }).cv2.at(0).replace(1, new Square());
  assert.throws(() => onnxModel(model, options({ imgsz: 64 })), {
    code: 'UNSUPPORTED_EXPORT',
    message: 'model.22.cv2.0.1 (Square) has no form in ONNX here',
  });
});
