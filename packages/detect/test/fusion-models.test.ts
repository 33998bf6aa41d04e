import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { scope } from '@mezzo/torch';
import {
  chosenFusion,
  FUSION_BLOCKS,
  FUSIONS,
  type FusionOptions,
  fusionFile,
  fusionModel,
} from '../src/fusion/fusion-model.ts';
import { streamOf } from '../src/fusion/streams.ts';
import { DetectionModel } from '../src/models/build.ts';
import { resolveModel } from '../src/models/description.ts';
import { ModelError } from '../src/models/errors.ts';
import { readModelFile } from '../src/models/model-file.ts';
import { type ModelProfile, profileModel } from '../src/models/profile.ts';
import { modelWithoutMemory } from '../src/weights/model-shapes.ts';
import { scratchFolder, write } from './scratch.ts';

const folder = scratchFolder();
const SCALES = ['n', 's', 'm', 'l', 'x'] as const;
const mid: FusionOptions = { fusion: 'mid', blocks: 'yolo11', scale: 'n', channels: [3, 3], nc: 1 };

const page = readFileSync(new URL('../../../../docs/fusion.md', import.meta.url), 'utf8');

const profileOf = (options: Partial<FusionOptions>): ModelProfile =>
  scope(() => profileModel(modelWithoutMemory(fusionModel({ ...mid, ...options }))));

const messageOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    assert.ok(error instanceof ModelError, String(error));
    return error.message;
  }
  assert.fail('nothing was thrown');
};

for (const [fusion, blocks, params, gflops] of [
  ['mid', 'yolo11', 1_185_027, 3.2],
  ['early', 'yolov8', 2_441_187, 6.7],
  ['data', 'yolov8', 3_011_475, null],
] as const) {
  test(`${fusion} fusion of ${blocks} blocks, size n, has the published ${params} parameters`, () => {
    const profile = profileOf({ fusion, blocks });
    assert.equal(profile.params, params);
    if (gflops !== null) assert.equal(profile.gflops.toFixed(1), gflops.toFixed(1));
  });
}

test('the table of docs/fusion.md is what the models have', () => {
  const rows = FUSIONS.flatMap((fusion) =>
    FUSION_BLOCKS.map((blocks) => {
      const cells = SCALES.map((scale) => {
        const { params, gflops } = profileOf({ fusion, blocks, scale });
        return `${params.toLocaleString('en')} / ${gflops.toFixed(1)}`;
      });
      return `| ${fusion} | ${blocks} | ${cells.join(' | ')} |`;
    }),
  );
  const documented = page.split('\n').filter((line) => /^\| \S+ \| yolo/.test(line));
  assert.equal(documented.join('\n'), rows.join('\n'));
});

test('infrared of one channel takes two planes of three out of the first convolutions, and nothing else', () => {
  for (const [fusion, planes] of [
    ['mid', 8],
    ['decision', 16],
    ['data', 16],
  ] as const) {
    const [three, one] = [
      [3, 3],
      [3, 1],
    ].map((channels) => profileOf({ fusion, channels }).params);
    assert.equal(three! - one!, 2 * 9 * planes, fusion);
  }
  const description = fusionModel({ ...mid, channels: [3, 1] });
  assert.equal(description.name, 'mid-yolo11n');
  assert.deepEqual([description.ch, description.table.modalities], [4, { rgb: 3, ir: 1 }]);
  assert.deepEqual(description.layers[0]!.args, { modality: 'rgb', first: 0, channels: 3 });
  assert.deepEqual(description.layers[12]!.args, { modality: 'ir', first: 3, channels: 1 });
  const again = resolveModel(description.table, { name: description.name });
  assert.deepEqual(again, description);
});

test('a table for three and three channels takes pictures of four: infrared has the rest', () => {
  const table = readModelFile(fusionFile('mid', 'yolo11'));
  const four = resolveModel(table, { name: 'mid-yolo11s', nc: 2, ch: 4 });
  assert.deepEqual([four.table.modalities, four.table.scale], [{ rgb: 3, ir: 1 }, 's']);
  assert.equal(
    messageOf(() => resolveModel(table, { nc: 2, ch: 3 })),
    "an image of 3 channels has none left for 'ir', the last of the model's modalities (rgb: 3, ir: 3)",
  );
});

test('easy is mid, and says so; another name is refused with the nearest', () => {
  assert.deepEqual(chosenFusion('mid'), { fusion: 'mid', note: null });
  assert.deepEqual(chosenFusion('easy'), {
    fusion: 'mid',
    note: 'fusion=easy is mid here: two backbones, joined at P3, P4 and P5',
  });
  assert.equal(fusionModel({ ...mid, fusion: 'easy' }).name, 'mid-yolo11n');
  assert.equal(
    messageOf(() => chosenFusion('gate')),
    "unknown fusion 'gate'; did you mean 'gated'?",
  );
  assert.equal(
    messageOf(() => fusionModel({ ...mid, fusion: 'constructor' })),
    "unknown fusion 'constructor'",
  );
});

test('every layer and parameter says which stream it belongs to', () => {
  const decision = fusionModel({ ...mid, fusion: 'decision' });
  const model = scope(() => modelWithoutMemory(decision));
  const names = Array.from(model.namedParameters(), ([name]) => name);
  const of = (stream: string) => names.filter((name) => streamOf(decision, name) === stream);
  // The frozen bins are the only thing that two whole detectors share.
  assert.deepEqual(of('fused'), ['model.54.dfl.conv.weight']);
  assert.equal(of('rgb').length, of('ir').length);
  assert.equal(of('rgb').length + of('ir').length + 1, names.length);
  assert.equal(streamOf(decision, 'model.54.cv2.0.0.conv'), 'rgb');
  assert.equal(streamOf(decision, 'model.54.cv3.1.0.0.conv.weight'), 'ir');

  const early = fusionModel({ ...mid, fusion: 'early', blocks: 'yolov8' });
  assert.deepEqual(
    ['model.1.conv.weight', 'model.5', 'model.11.conv', 'model.13.conv'].map((name) => streamOf(early, name)),
    ['rgb', 'ir', 'fused', 'ir'],
  );
  const attention = fusionModel({ ...mid, fusion: 'cross-attention' });
  const layers = attention.layers.filter(({ module }) => module === 'CrossAttention');
  assert.equal(layers.length, 6);
  assert.ok(layers.every(({ index }) => streamOf(attention, `model.${index}.query.conv`) === 'fused'));
  assert.equal(streamOf(fusionModel({ ...mid, fusion: 'data' }), 'model.0.conv.weight'), 'fused');
  assert.equal(streamOf(attention, 'loss'), null);
  assert.equal(streamOf(resolveModel('yolov8n'), 'model.0.conv.weight'), null);
});

const OWN = `modalities: {day: 3, heat: 1, depth: 1}
backbone:
  - [input, 1, Modality, [day]]
  - [-1, 1, Conv, [16, 3, 4]]
  - [input, 1, Modality, [heat]]
  - [-1, 1, Conv, [16, 3, 4]]
  - [input, 1, Modality, [depth]]
  - [-1, 1, Conv, [16, 3, 4]]
head:
  - [[1, 3, 5], 1, GatedFusion, []]
  - [-1, 1, Conv, [32, 3, 2]]
  - [[6, 7], 1, Detect, [nc]]
`;

test("a fusion of one's own is one file, of as many modalities as there are sensors", () => {
  const file = write(folder, 'three.yaml', OWN);
  const own = fusionModel({ ...mid, fusion: file, channels: [3, 1, 2] });
  assert.deepEqual([own.name, own.ch, own.table.modalities], ['three', 6, { day: 3, heat: 1, depth: 2 }]);
  const model = scope(() => new DetectionModel(own));
  assert.deepEqual(model.strides, [4, 8]);
  assert.deepEqual(
    [1, 3, 5, 6].map((layer) => streamOf(own, `model.${layer}`)),
    ['day', 'heat', 'depth', 'fused'],
  );
  assert.equal(
    messageOf(() => fusionModel({ ...mid, fusion: file })),
    'the model has 3 modalities (day, heat, depth), the data 2',
  );
  const sized = write(folder, 'sized.yaml', `scales: {n: [1, 0.5], s: [1, 1]}\n${OWN}`);
  const width = (scale: FusionOptions['scale']) =>
    fusionModel({ ...mid, fusion: sized, channels: [3, 1, 1], scale }).layers[7]!.outChannels;
  assert.deepEqual([width('n'), width('s')], [16, 32]);
  assert.equal(
    messageOf(() => width('m')),
    "model table: no scale 'm' of the form [depth, width, max channels]",
  );
});

test("the documentation's example of a model file is one", () => {
  const text = /```yaml\n([\s\S]*?)```/.exec(page)![1]!;
  const own = fusionModel({ ...mid, fusion: write(folder, 'documented.yaml', text), channels: [3, 3] });
  const { strides, ch } = scope(() => modelWithoutMemory(own));
  assert.deepEqual([strides, ch], [[8, 16], 6]);
});

test('what is wrong with a fusion file is told with its line', () => {
  const cases: [find: string, replace: string, message: string][] = [
    ['[heat]', '[heats]', ":5: layer 2 (Modality): unknown modality 'heats'; did you mean 'heat'?"],
    [
      '[input, 1, Modality, [heat]]',
      '[1, 1, Modality, [heat]]',
      ':5: layer 2 (Modality): reads the image: [input, 1, Modality, [rgb]]',
    ],
    [
      '[[1, 3, 5]',
      '[[1, 3, 2]',
      ':10: layer 6 (GatedFusion): takes maps of one shape, got 16 channels at stride 4, 16 channels at stride 4, 1 channels at stride 1',
    ],
    [
      'GatedFusion',
      'CrossAttention',
      ':10: layer 6 (CrossAttention): takes two maps of one size, got 16 channels at stride 4, 16 channels at stride 4, 16 channels at stride 4',
    ],
    [
      'GatedFusion',
      'Present',
      ':10: layer 6 (Present): takes a map and the pixels of its modality, got 16 channels at stride 4, 16 channels at stride 4, 16 channels at stride 4',
    ],
    [
      'heat: 1',
      'heat: no',
      ':1: model table: \'modalities\' must be names with their channels, as in {rgb: 3, ir: 1}; got {"day":3,"heat":"no","depth":1}',
    ],
  ];
  for (const [find, replace, message] of cases) {
    const file = write(folder, 'wrong.yaml', OWN.replace(find, replace));
    assert.equal(
      messageOf(() => readModelFile(file)),
      `${file}${message}`,
    );
  }
  const missing = path.join(folder, 'nothing.yaml');
  assert.equal(
    messageOf(() => fusionModel({ ...mid, fusion: missing })),
    `${missing} is not there; looked for ${missing}`,
  );
});
