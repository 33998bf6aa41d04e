import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSafetensors, noGrad, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { buildModel, type Prediction } from '../src/models/build.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import {
  assertAllClose,
  assertChecksum,
  assertSummary,
  type Checksum,
  fixturePath,
  formulaModel,
  inputTensor,
  readGolden,
  type Summary,
  values,
} from './golden.ts';
import { rawMaps } from './raw-maps.ts';

interface ModelGolden {
  nc: number;
  ch: number;
  imgsz: number;
  batch: number;
  input_key: string;
  gain: number;
  stride: number[];
  params: number;
  state_dict: [key: string, shape: number[], dtype: string][];
  eval_layers: (Summary & { i: number; type: string; from: number | number[] })[];
  eval_raw: Summary[];
  eval_decoded: { all: Summary; box: Summary; score: Summary };
  train_raw: Summary[];
  bn_after_one_train_forward: Record<string, Checksum>;
}

const RAW = { abs: 3e-4 };
const BOX = { abs: 3e-3 };
const SCORE = { abs: 5e-5 };
const LAYER = { abs: 1e-4, rel: 1e-4 };

setNumThreads(1);

for (const file of ['yolov8n', 'yolov8n_ch1_nc1', 'yolov5nu', 'yolo11n']) {
  const golden = readGolden<ModelGolden>(`models/${file}.json`);
  const build = () => formulaModel(file.replace(/_.*/, ''), golden);
  const input = () => inputTensor(golden.input_key, [golden.batch, golden.ch, golden.imgsz, golden.imgsz]);

  test(`${file}: names, shapes, dtypes and order of the state dict`, () => {
    const found = Object.entries(build().stateDict()).map(([key, tensor]) => [
      key,
      tensor.shape,
      tensor.dtype,
    ]);
    assert.deepEqual(found, golden.state_dict);
  });

  test(`${file}: output of every layer in evaluation mode`, () => {
    const model = build().eval();
    const seen: number[] = [];
    scope(() =>
      noGrad(() =>
        model.maps(input(), (layer, output) => {
          const expected = golden.eval_layers[layer.index]!;
          assertSummary(output, expected, LAYER, `layer ${layer.index} (${layer.module})`);
          seen.push(layer.index);
        }),
      ),
    );
    assert.deepEqual(
      seen,
      golden.eval_layers.map(({ i }) => i),
    );
  });

  test(`${file}: raw maps and predictions in evaluation mode`, () => {
    scope(() => {
      const { decoded, maps } = noGrad(() => build().eval().forward(input())) as Prediction;
      rawMaps(maps).forEach((map, level) => {
        assertSummary(map, golden.eval_raw[level]!, RAW, `level ${level}`);
      });
      const box = decoded.narrow(1, 0, 4);
      const score = decoded.narrow(1, 4, golden.nc);
      assertSummary(decoded, golden.eval_decoded.all, BOX, 'all');
      assertSummary(box, golden.eval_decoded.box, BOX, 'boxes');
      assertSummary(score, golden.eval_decoded.score, SCORE, 'scores');
    });
  });
}

const golden = readGolden<ModelGolden>('models/yolov8n.json');
const inputOf = (golden: ModelGolden): Tensor =>
  inputTensor(golden.input_key, [golden.batch, golden.ch, golden.imgsz, golden.imgsz]);
const input = (): Tensor => inputOf(golden);

for (const [name, memoryFormat] of ['yolov8n', 'yolov5nu', 'yolo11n'].flatMap((name) => [
  [name, 'contiguous'] as const,
  [name, 'channels_last'] as const,
])) {
  const golden = readGolden<ModelGolden>(`models/${name}.json`);
  const input = () => inputOf(golden);
  test(`${name}: every raw value, box and score, ${memoryFormat}`, () => {
    scope(() => {
      const { tensors } = loadSafetensors(fixturePath(`models/${name}.safetensors`));
      const model = formulaModel(name, golden).eval();
      model.to({ memoryFormat });
      const { decoded, maps } = noGrad(() => model.predict(input().contiguous({ memoryFormat })));
      rawMaps(maps).forEach((map, level) => {
        assertAllClose(values(map), values(tensors[`eval.raw.${level}`]!), RAW, `level ${level}`);
      });
      const expected = tensors['eval.decoded']!;
      assert.deepEqual(decoded.shape, expected.shape);
      assert.equal(decoded.dtype, 'float32');
      assertAllClose(values(decoded.narrow(1, 0, 4)), values(expected.narrow(1, 0, 4)), BOX, 'box');
      assertAllClose(
        values(decoded.narrow(1, 4, golden.nc)),
        values(expected.narrow(1, 4, golden.nc)),
        SCORE,
        'score',
      );
    });
  });
}

for (const name of ['yolov8n', 'yolov5nu', 'yolo11n']) {
  const golden = readGolden<ModelGolden>(`models/${name}.json`);
  test(`${name}: raw maps and BatchNorm statistics of a forward in training mode`, () => {
    scope(() => {
      const model = formulaModel(name, golden).train();
      const maps = noGrad(() => model.forward(inputOf(golden))) as HeadMaps;
      rawMaps(maps).forEach((map, level) => {
        assertSummary(map, golden.train_raw[level]!, RAW, `level ${level}`);
      });
      const state = model.stateDict();
      for (const [key, expected] of Object.entries(golden.bn_after_one_train_forward)) {
        assertChecksum(state[key]!, expected, 1e-4, key);
      }
      assert.equal(state['model.0.bn.num_batches_tracked']!.item(), 1);
    });
  });
}

test("a new model starts from the recipe's biases", () => {
  const starts = [
    { options: {}, box: 2 },
    { options: { boxBias: 1 }, box: 1 },
  ];
  for (const { options, box } of starts) {
    const state = buildModel('yolov8n', { nc: 4, ...options }).stateDict();
    [8, 16, 32].forEach((stride, level) => {
      assertAllClose(values(state[`model.22.cv2.${level}.2.bias`]!), new Array(64).fill(box), {}, 'box bias');
      const cls = Math.fround(Math.log(5 / 4 / (640 / stride) ** 2));
      assertAllClose(
        values(state[`model.22.cv3.${level}.2.bias`]!),
        new Array(4).fill(cls),
        {},
        'class bias',
      );
    });
  }
});

test('images that the network cannot take are refused', () => {
  scope(() => {
    const model = buildModel('yolov8n', { nc: 2 });
    const expected = 'expected [batch, 3, height, width] with sides that are multiples of 32';
    for (const shape of [
      [1, 3, 64, 80],
      [1, 1, 64, 64],
      [3, 64, 64],
    ]) {
      const message = `images of shape [${shape.join(', ')}]: ${expected}`;
      assert.throws(() => model.maps(inputTensor('input', shape)), { code: 'BAD_INPUT', message });
    }
  });
});

test('a clone computes the same and shares nothing', () => {
  scope(() => {
    const model = formulaModel('yolov8n', golden).eval();
    model.to({ memoryFormat: 'channels_last' });
    const twin = model.clone();
    assert.equal(twin.training, false);
    assert.ok(twin.parameters()[10]!.isContiguous('channels_last') || twin.parameters()[10]!.ndim !== 4);
    const [a, b] = noGrad(() => [model.predict(input()).decoded, twin.predict(input()).decoded]);
    assert.ok(a!.equal(b!));
    noGrad(() => model.parameters()[0]!.zero_());
    assert.notEqual(twin.parameters()[0]!.abs().sum().item(), 0);
  });
});
