import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { buildModel } from '../src/models/build.ts';
import { modelNames, parseModelName, resolveModel } from '../src/models/description.ts';
import { ModelError } from '../src/models/errors.ts';

const YAML = `
nc: 80
scales:
  n: [0.33, 0.25, 1024]
  s: [0.33, 0.50, 1024]
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
head:
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]
  - [[-1, 2], 1, Concat, [1]]
  - [[5, 3], 1, Detect, [nc]]
`;

function failure(source: string | object): { code: string; message: string; hint: string | undefined } {
  try {
    resolveModel(source);
  } catch (error) {
    assert.ok(error instanceof ModelError);
    return { code: error.code, message: error.message, hint: error.hint };
  }
  assert.fail('nothing was thrown');
}

test('names split into family and scale', () => {
  assert.deepEqual(parseModelName('yolov8n'), { family: 'yolov8', scale: 'n' });
  assert.deepEqual(parseModelName('models/yolov8x-p2.yaml'), { family: 'yolov8-p2', scale: 'x' });
  assert.deepEqual(parseModelName('yolo11s'), { family: 'yolo11', scale: 's' });
  assert.deepEqual(parseModelName('mine.yaml'), { family: 'mine', scale: undefined });
});

test('the published names', () => {
  const sizes = [...'nsmlx'];
  assert.deepEqual(modelNames(), [
    ...sizes.map((size) => `yolov8${size}`),
    ...sizes.map((size) => `yolo11${size}`),
    ...sizes.map((size) => `yolov5${size}u`),
    ...sizes.map((size) => `yolov5${size}`),
  ]);
  for (const name of modelNames()) {
    const again = parseModelName(name);
    assert.equal(again.family.replace(/\d+/, `$&${again.scale}`), name);
  }
});

test('depth and width scale by the published rule', () => {
  const channels = (name: string) => resolveModel(name).layers.map((layer) => layer.outChannels);
  assert.deepEqual(
    channels('yolov8n'),
    [
      16, 32, 32, 64, 64, 128, 128, 256, 256, 256, 256, 384, 128, 128, 192, 64, 64, 192, 128, 128, 384, 256,
      84,
    ],
  );
  const x = resolveModel('yolov8x').layers;
  assert.deepEqual([x[8]?.outChannels, x[4]?.repeats, x[9]?.outChannels], [640, 6, 640]);
  assert.deepEqual(
    resolveModel('yolov8m').layers.flatMap((layer) => (layer.module === 'C2f' ? [layer.repeats] : [])),
    [2, 4, 4, 2, 2, 2, 2, 2],
  );
});

test('strides follow the convolutions and upsamplings', () => {
  const { layers } = resolveModel('yolov8n');
  assert.deepEqual(layers.at(-1)?.inStrides, [8, 16, 32]);
  assert.deepEqual(
    layers.map((layer) => layer.stride),
    [2, 4, 4, 8, 8, 16, 16, 32, 32, 32, 16, 16, 16, 8, 8, 8, 16, 16, 16, 32, 32, 32, 8],
  );
});

test('a YAML model resolves, its scale comes from the name', () => {
  const table: object = parse(YAML);
  const model = resolveModel(table, { name: 'runs/yolov8s-tiny.yaml', nc: 3, ch: 1 });
  assert.equal(model.name, 'yolov8s-tiny');
  assert.deepEqual([model.nc, model.ch, model.table.scale], [3, 1, 's']);
  assert.deepEqual(
    model.layers.map((layer) => layer.outChannels),
    [32, 64, 64, 128, 128, 192, 7],
  );
  assert.deepEqual(model.layers[0]?.inChannels, [1]);
  assert.deepEqual(model.layers[5]?.from, [4, 2]);
  assert.deepEqual(model.layers[6]?.inStrides, [4, 8]);
  assert.equal(model.layers[6]?.args.classes, 3);
});

test('a resolved table resolves to the same model again', () => {
  const model = resolveModel('yolov8s', { nc: 7, ch: 4 });
  const again = resolveModel(JSON.parse(JSON.stringify(model.table)) as object, { name: model.name });
  assert.deepEqual(again, model);
});

test('depth_multiple and width_multiple stand for a scale', () => {
  const { scales, ...rest } = parse(YAML) as Record<string, unknown>;
  assert.ok(scales);
  const model = resolveModel({ ...rest, depth_multiple: 0.33, width_multiple: 0.5 });
  assert.deepEqual(
    model.layers.slice(0, 2).map((layer) => layer.outChannels),
    [32, 64],
  );
});

test('what does not describe a network is refused', () => {
  assert.deepEqual(failure('yolov9q'), {
    code: 'UNKNOWN_MODEL',
    message: "unknown model 'yolov9q'",
    hint: `known models: ${modelNames().join(', ')}; or give the path of a .yaml or .safetensors file`,
  });
  const table = (changes: object): object => ({
    nc: 2,
    backbone: [[-1, 1, 'Conv', [8, 3, 2]]],
    head: [],
    ...changes,
  });
  const messages: [changes: object, message: string][] = [
    [{}, 'model table: the last layer, and only that, must be a head; heads: none'],
    [
      {
        head: [
          [[0], 1, 'Detect', ['nc']],
          [0, 1, 'Conv', [8]],
        ],
      },
      'model table: the last layer, and only that, must be a head; heads: 1',
    ],
    [{ nc: 0 }, "model table: 'nc' must be a positive integer, got 0"],
    [{ colour: 1 }, "model table: unknown key 'colour'"],
    [{ head: undefined }, "model table: 'head' must be a list of layers"],
    [{ nc: 65537 }, "model table: 'nc' must be at most 65536, got 65537"],
    ...[[1], [1, 0, 64], [-1, 1, 64], [1, 1, 0], ['1', 1], 5, null].map((row): [object, string] => [
      { scales: { n: row } },
      "model table: no scale 'n' of the form [depth, width, max channels]",
    ]),
    ...[{ depth_multiple: 'deep' }, { width_multiple: -1 }, { max_channels: 0 }].map(
      (sizes): [object, string] => [
        sizes,
        "model table: 'depth_multiple', 'width_multiple' and 'max_channels' must be numbers above 0",
      ],
    ),
    [
      { head: [[-1, 1, 'Conv']] },
      'layer 1: expected [from, repeats, module, [arguments]], got [-1,1,"Conv"]',
    ],
    [{ head: [[4, 1, 'Conv', [8]]] }, "layer 1: 'from' 4 is not an earlier layer"],
    [{ head: [[-3, 1, 'Conv', [8]]] }, "layer 1: 'from' -3 is not an earlier layer"],
    [{ head: [[-1, 1, 'C9', [8]]] }, "layer 1: unknown module 'C9'; did you mean 'C3'?"],
    [{ head: [[[-1, 0], 1, 'Conv', [8]]] }, 'layer 1 (Conv): takes one input, got 2'],
    [{ head: [[[], 1, 'Concat', [1]]] }, 'layer 1 (Concat): takes no input'],
    [
      { head: [[-1, 1, 'Conv', ['toString']]] },
      'layer 1 (Conv): argument \'channels\' must be a positive integer, got "toString"',
    ],
    [
      { head: [[-1, 1, 'Conv', [8, 3, 1, -1]]] },
      "layer 1 (Conv): argument 'padding' must be an integer from 0, got -1",
    ],
    [{ head: [[-1, 1, 'C2f', [8, 3]]] }, "layer 1 (C2f): argument 'shortcut' must be true or false, got 3"],
    [
      { head: [[-1, 1, 'C2f', []]] },
      "layer 1 (C2f): argument 'channels' must be a positive integer, got nothing",
    ],
    [{ head: [[-1, 1, 'SPPF', [8, 5, 1]]] }, 'layer 1 (SPPF): 3 arguments, takes channels, kernel'],
  ];
  for (const [changes, message] of messages) {
    const found = failure(table(changes));
    assert.deepEqual([found.code, found.message], ['BAD_MODEL', message]);
  }
});

test('empty values of a YAML file are the defaults; a padding may be 0', () => {
  const table = {
    nc: 2,
    scales: null,
    max_channels: null,
    backbone: [[-1, 1, 'Conv', [16, 3, 2, 0]]],
    head: [[[0], 1, 'Detect', ['nc']]],
  };
  const [conv] = resolveModel(table).layers;
  assert.deepEqual([conv!.outChannels, conv!.args.padding], [16, 0]);
});

test('blocks that cannot be built as the table has them are refused when they are', () => {
  const net = (rows: readonly unknown[]) => {
    const from = rows.length;
    const backbone = [[-1, 1, 'Conv', [416, 3, 2]], ...rows];
    return () => buildModel({ nc: 2, backbone, head: [[[from], 1, 'Detect', ['nc']]] });
  };
  assert.throws(net([[-1, 1, 'C2PSA', [416]]]), {
    code: 'BAD_MODEL',
    message: 'layer 1 (C2PSA): 416 channels cannot be shared evenly among its attention heads',
  });
  const joined = [
    [-1, 1, 'Conv', [8, 3, 2]],
    [[0, 1], 1, 'Concat', [1]],
  ];
  assert.throws(net(joined), {
    code: 'BAD_MODEL',
    message: 'layer 2 (Concat): its inputs have strides 2 and 4, and so maps of different sizes',
  });
});
