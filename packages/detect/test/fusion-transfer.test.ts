import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { cat, manualSeed, noGrad, rand, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { identityOf, writeWeights } from '../src/engine/checkpoint.ts';
import { type ModelSource, makeTrainable } from '../src/engine/model-source.ts';
import { fusionModel } from '../src/fusion/fusion-model.ts';
import { transferIntoStreams } from '../src/fusion/transfer.ts';
import type { DetectionModel } from '../src/models/build.ts';
import type { TransferReport } from '../src/models/transfer.ts';
import { convertSafetensorsToPt } from '../src/weights/convert.ts';
import { ALL_FUSIONS, dualModel } from './fusion.ts';
import { formulaModel, inputTensor, values } from './golden.ts';
import { scratchFolder } from './scratch.ts';

setNumThreads(1);
const folder = scratchFolder();

const networks = new Map<string, DetectionModel>();
/** Weights that are a function of their names take a while: each network is made once. */
function trained(name: 'yolov8n' | 'yolo11n', nc = 3): DetectionModel {
  const key = `${name} ${nc}`;
  const known = networks.get(key) ?? formulaModel(name, { nc, gain: 1.3 }).eval();
  networks.set(key, known);
  return known;
}
for (const name of ['yolov8n', 'yolo11n'] as const) trained(name);

const take = (model: DetectionModel, from: DetectionModel): TransferReport =>
  transferIntoStreams(model, { description: from.description, weights: from.stateDict() });

/** Backbones that lie in two streams: layers 1 to `last` of either, and of the network of one stream from 0. */
function assertBackbones(
  model: DetectionModel,
  from: DetectionModel,
  starts: readonly number[],
  layers: number,
) {
  const [own, source] = [model.stateDict(), from.stateDict()];
  for (const start of starts) {
    for (let layer = 1; layer < layers; layer++) {
      for (const [key, tensor] of Object.entries(source)) {
        if (!key.startsWith(`model.${layer}.`)) continue;
        const target = key.replace(`model.${layer}.`, `model.${start + layer}.`);
        assert.ok(own[target]!.equal(tensor), `${target} is ${key}`);
      }
    }
  }
}

for (const [blocks, name, layers] of [
  ['yolov8', 'yolov8n', 10],
  ['yolo11', 'yolo11n', 11],
] as const) {
  test(`${name} goes into both detectors of a decision fusion, heads included`, () => {
    scope(() => {
      const from = trained(name);
      const model = dualModel({ fusion: 'decision', blocks, channels: [3, 3] }).eval();
      const { transferred, total, skipped } = take(model, from);
      assert.equal(transferred, total, JSON.stringify(skipped));
      const images = inputTensor('input', [1, 3, 64, 64]);
      const [one, two] = noGrad(() => [from.maps(images), model.maps(cat([images, images], 1))]) as [
        ReturnType<typeof from.maps>,
        ReturnType<typeof from.maps>,
      ];
      // Levels of the two modalities follow one another: each is the published detector, bit for bit.
      for (const [level, map] of two.box.entries())
        assert.ok(map.equal(one.box[level >> 1]!), `box ${level}`);
      for (const [level, map] of two.cls.entries())
        assert.ok(map.equal(one.cls[level >> 1]!), `class ${level}`);
    });
  });

  test(`${name} goes into both backbones of mid, gated and cross-attention of size s, whose streams are as wide`, () => {
    for (const fusion of ['mid', 'gated', 'cross-attention']) {
      scope(() => {
        const from = trained(name);
        const model = dualModel({ fusion, blocks, scale: 's' });
        const second = model.description.layers.findLastIndex(({ module }) => module === 'Modality');
        const report = take(model, from);
        assertBackbones(model, from, [1, second + 1], layers);
        const backbone = Object.keys(from.stateDict()).filter((key) => Number(key.split('.')[1]) < layers);
        assert.ok(report.transferred >= 2 * backbone.length, `${report.transferred} of ${report.total}`);
        assert.equal(report.transferred + report.skipped.length, report.total);
      });
    }
  });
}

test('what has no counterpart or another shape stays as it is, and is told', () => {
  scope(() => {
    for (const { fusion, blocks } of ALL_FUSIONS) {
      const model = dualModel({ fusion, blocks });
      const before = Object.fromEntries(
        Object.entries(model.stateDict()).map(([key, t]) => [key, t.clone()]),
      );
      const { transferred, total, skipped } = take(
        model,
        trained(blocks === 'yolov8' ? 'yolov8n' : 'yolo11n'),
      );
      assert.equal(transferred + skipped.length, total);
      assert.ok(
        skipped.every(({ key }) => model.stateDict()[key]!.equal(before[key]!)),
        fusion,
      );
      assert.equal(
        skipped.length === 0,
        fusion === 'data' || fusion === 'decision',
        `${fusion} ${transferred}/${total}`,
      );
    }
  });
});

test('a first convolution answers to a grey picture as it did before, for any number of channels', () => {
  scope(() => {
    const from = trained('yolov8n');
    const grey = inputTensor('grey', [1, 1, 32, 32]);
    const first = (model: DetectionModel, layer: number, pixels: Tensor) =>
      values(
        noGrad(() => (model.model.at(layer) as unknown as { forward(x: Tensor): Tensor }).forward(pixels)),
      );
    const of = (channels: number) => grey.expand([-1, channels, -1, -1]).contiguous();
    const expected = first(from, 0, of(3));
    for (const infrared of [1, 2, 3]) {
      const model = dualModel({ fusion: 'decision', blocks: 'yolov8', channels: [3, infrared] }).eval();
      take(model, from);
      const stem = model.description.layers.findLastIndex(({ module }) => module === 'Modality') + 1;
      const both = dualModel({ fusion: 'data', blocks: 'yolov8', channels: [3, infrared] }).eval();
      take(both, from);
      for (const [found, what] of [
        [first(model, 1, of(3)), 'visible light'],
        [first(model, stem, of(infrared)), 'infrared'],
        [first(both, 0, of(3 + infrared)), 'both'],
      ] as const) {
        const error = Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)));
        assert.ok(error < 1e-5, `${what}, infrared of ${infrared}: ${error}`);
      }
    }
  });
});

test('pretrained=FILE of a network of one stream, .safetensors or .pt, goes into the streams of a training', async () => {
  manualSeed(0);
  const from = trained('yolo11n', 80);
  const file = path.join(folder, 'one.safetensors');
  const contents = { identity: identityOf(from), weights: from.stateDict() };
  writeWeights(file, { ...contents, ...{ data: null, epoch: 0, map50: 0, map: 0 } });
  const pt = path.join(folder, 'other.pt');
  await convertSafetensorsToPt(file, pt);
  const description = fusionModel({
    fusion: 'decision',
    blocks: 'yolo11',
    scale: 'n',
    channels: [3, 1],
    nc: 2,
  });
  const source: ModelSource = { kind: 'table', name: description.name, table: description.table };
  const data = { file: 'night.yaml', names: ['person', 'car'], channels: 4 };
  for (const pretrained of [file, pt]) {
    const { model, transfer } = await makeTrainable(source, data, {
      pretrained,
      box_bias: 2,
      recipe: '8.4',
      ir_channels: null,
    });
    assert.deepEqual([model.nc, model.ch], [2, 4]);
    // Of 80 classes the class branches are wider and cannot be taken over; everything else is.
    assert.ok(transfer!.skipped.every(({ key }) => key.startsWith('model.54.cv3.')));
    assert.deepEqual([transfer!.transferred, transfer!.total], [895, 997]);
    assertBackbones(model, from, [1, 25], 11);
  }
  const dual = path.join(folder, 'dual.safetensors');
  const model = dualModel({ fusion: 'decision', nc: 2 });
  noGrad(() => model.parameters()[0]!.copy_(rand(model.parameters()[0]!.shape)));
  writeWeights(dual, {
    ...{ identity: identityOf(model), weights: model.stateDict() },
    ...{ data: null, epoch: 0, map50: 0, map: 0 },
  });
  const settings = { pretrained: dual, box_bias: 2, recipe: '8.4', ir_channels: null } as const;
  const { transfer } = await makeTrainable(source, data, settings);
  assert.equal(transfer!.transferred, transfer!.total, 'its own kind goes over as it is');
});
