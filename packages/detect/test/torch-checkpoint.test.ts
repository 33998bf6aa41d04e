import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { loadPt, loadSafetensors, ones, scope, type Tensor } from '@mezzo/torch';
import { makeTrainable, openModel } from '../src/engine/model-source.ts';
import {
  buildModel,
  convertPtToSafetensors,
  convertSafetensorsToPt,
  type DetectionModel,
  MezzoError,
  readTorchCheckpoint,
  YOLO,
} from '../src/index.ts';
import { readTorchWeights } from '../src/weights/torch-checkpoint.ts';
import { equalTensors } from './equal-tensors.ts';
import { type Plain, SavedModule, SavedTensor, writeTorchFile } from './torch-file.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-torch-checkpoint-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => path.join(folder, name);

/** A small net of YOLOv8's blocks with weights of its own. */
const TABLE = {
  nc: 80,
  scales: { t: [0.33, 0.0625, 256] },
  backbone: [
    [-1, 1, 'Conv', [64, 3, 2]],
    [-1, 1, 'Conv', [128, 3, 2]],
    [-1, 1, 'C2f', [128, true]],
    [-1, 1, 'SPPF', [256, 5]],
  ],
  head: [[[2, 3], 1, 'Detect', ['nc']]],
};
const network = (nc = 2, ch = 3): DetectionModel => buildModel(TABLE, { name: 'tiny', nc, ch });

const plain = (value: unknown): Plain => {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Plain;
  return new Map(Object.entries(value).map(([key, item]) => [key, plain(item)]));
};

const halves = (state: Record<string, Tensor>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(state).map(([key, t]) => [key, t.isFloatingPoint() ? t.half() : t]));

/** The object that a trainer saves. */
function saved(
  state: Record<string, Tensor>,
  className = 'ultralytics.nn.tasks.DetectionModel',
  yaml: object = {},
): SavedModule {
  return new SavedModule(className, state, {
    yaml: plain({ ...TABLE, nc: 2, scale: 't', yaml_file: 'yolov8-tiny.yaml', channels: 3, ...yaml }),
    names: new Map<Plain, Plain>([
      [0, 'cat'],
      [1, 'dog'],
    ]),
    nc: 2,
  });
}

function refusal(action: () => unknown): [code: string, message: string] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof MezzoError, String(error));
    assert.ok(error.hint === undefined || error.hint.length > 20);
    return [error.code, error.message];
  }
  return assert.fail('nothing was refused');
}

test("Ultralytics' checkpoint: averaged weights before others, fp16 to fp32, names, what its training reached", async () => {
  const ema = network().stateDict();
  const file = writeTorchFile(
    at('last.pt'),
    new Map<Plain, Plain>([
      ['epoch', 4],
      ['model', saved(network().stateDict())],
      ['ema', saved(halves(ema))],
      ['train_args', plain({ data: at('last.pt'), imgsz: 64 })],
      ['train_metrics', plain({ 'metrics/mAP50(B)': 0.5, 'metrics/mAP50-95(B)': 0.25 })],
    ]),
  );
  const contents = readTorchCheckpoint(file);
  equalTensors(
    contents.weights,
    Object.fromEntries(Object.entries(halves(ema)).map(([k, t]) => [k, t.isFloatingPoint() ? t.float() : t])),
  );
  const { epoch, map50, map, data, identity } = contents;
  assert.deepEqual({ epoch, map50, map, data }, { epoch: 5, map50: 0.5, map: 0.25, data: at('last.pt') });
  assert.equal(identity.name, 'yolov8-tiny');
  const model = await YOLO.load(file);
  assert.deepEqual([model.name, model.names], ['last', ['cat', 'dog']]);
  equalTensors(model.model.stateDict(), contents.weights);
});

test('a stripped checkpoint, old module paths, a network saved whole and YOLOv5 classes', () => {
  const state = network().stateDict();
  const forms: [name: string, value: Plain][] = [
    [
      'stripped',
      new Map<Plain, Plain>([
        ['epoch', -1],
        ['ema', null],
        ['model', saved(state)],
      ]),
    ],
    [
      'older',
      new Map<Plain, Plain>([['model', saved(state, 'ultralytics.yolo.engine.tasks.DetectionModel')]]),
    ],
    ['whole', saved(state)],
    [
      'yolov5',
      new Map<Plain, Plain>([
        ['ema', null],
        ['model', saved(state, 'models.yolo.DetectionModel')],
        ['opt', plain({ data: 'gone.yaml' })],
      ]),
    ],
    ['yolov5 before 6.2', new Map<Plain, Plain>([['model', saved(state, 'models.yolo.Model')]])],
  ];
  for (const [name, value] of forms) {
    const { weights, identity, data, epoch } = readTorchCheckpoint(writeTorchFile(at('form.pt'), value));
    equalTensors(weights, state);
    assert.deepEqual([identity.names, data, epoch], [['cat', 'dog'], null, 0], name);
  }
});

test('YOLOv5 with anchors: names as a list, arguments as text, and the anchors that AutoAnchor left', async () => {
  const net = buildModel('yolov5n', { nc: 2 });
  const state = { ...net.stateDict(), 'model.24.anchors': ones([3, 3, 2]).mul(2) };
  const { backbone, head, anchors } = net.description.table;
  const asText = head.map(([from, repeats, module, args]) => [
    from,
    repeats,
    module,
    args.map((arg) => arg ?? 'None'),
  ]);
  const yaml = { nc: 2, depth_multiple: 0.33, width_multiple: 0.25, anchors, backbone, head: asText, ch: 3 };
  const module = new SavedModule('models.yolo.DetectionModel', halves(state), {
    yaml: plain(yaml),
    names: ['cat', 'dog'],
    nc: 2,
  });
  const file = writeTorchFile(
    at('yolov5n-own.pt'),
    new Map<Plain, Plain>([
      ['ema', null],
      ['model', module],
    ]),
  );
  const model = await YOLO.load(file);
  assert.deepEqual(model.names, ['cat', 'dog']);
  assert.ok(model.model.stateDict()['model.24.anchors']!.equal(state['model.24.anchors']));
  assert.equal(Object.keys(model.model.stateDict()).length, 349);
});

test('a plain state dict is recognised by names and shapes, also under a prefix; its classes have numbers', () => {
  const state = buildModel('yolov8n', { nc: 3, ch: 1 }).stateDict();
  for (const prefix of ['', 'module.', 'model.', 'module.model.']) {
    const renamed = Object.entries(state).map(([key, t]): [Plain, Plain] => [
      `${prefix}${key}`,
      new SavedTensor(t),
    ]);
    const { identity, weights } = readTorchCheckpoint(writeTorchFile(at('plain.pt'), new Map(renamed)));
    assert.deepEqual([identity.name, identity.table.nc, identity.table.ch], ['yolov8n', 3, 1]);
    assert.deepEqual(identity.names, ['0', '1', '2']);
    assert.deepEqual(Object.keys(weights), Object.keys(state));
  }
});

test('networks of other tasks, files without a network and descriptions that are not known are refused', () => {
  const state = network().stateDict();
  const file = at('refused.pt');
  const read = (value: Plain) => refusal(() => readTorchCheckpoint(writeTorchFile(file, value)));
  assert.deepEqual(read(new Map([['model', saved(state, 'ultralytics.nn.tasks.SegmentationModel')]])), [
    'UNSUPPORTED_WEIGHTS',
    `${file} holds a network made to segment; Mezzo trains detectors`,
  ]);
  assert.deepEqual(read(saved(state, 'ultralytics.nn.tasks.RTDETRDetectionModel')), [
    'UNSUPPORTED_WEIGHTS',
    `${file} holds a network of class ultralytics.nn.tasks.RTDETRDetectionModel; Mezzo trains detectors`,
  ]);
  assert.deepEqual(read(new Map([['epoch', 3]])), [
    'UNSUPPORTED_WEIGHTS',
    `${file} holds no network: its keys are epoch`,
  ]);
  assert.deepEqual(read(new SavedModule('models.yolo.Model', state)), [
    'UNSUPPORTED_WEIGHTS',
    `${file}: its network does not carry its description`,
  ]);
  assert.deepEqual(read(saved(state, undefined, { activation: 'nn.ReLU()' })), [
    'BAD_MODEL',
    "model table: unknown key 'activation'",
  ]);
  const deep = TABLE.backbone.map((row, i) => (i === 2 ? [-1, 1e9, 'C2f', [128, true]] : row));
  const absurd = [{ scales: { t: [0.33, 1e6, 1e9] } }, { backbone: deep }];
  for (const yaml of absurd) {
    assert.deepEqual(read(saved(state, undefined, yaml)), [
      'UNSUPPORTED_WEIGHTS',
      `${file}: it describes a network far larger than the ${Object.keys(state).length} tensors it holds`,
    ]);
  }
  assert.deepEqual(read(new Map([['w', new SavedTensor(ones([2]))]])), [
    'UNSUPPORTED_WEIGHTS',
    `${file}: its 1 tensors fit no model that is known`,
  ]);
});

test('weights that do not fit the network they describe are refused when it is built', async () => {
  const file = writeTorchFile(at('misfit.pt'), saved(network(2, 1).stateDict(), undefined, { nc: 2 }));
  const other = { ...network().stateDict(), 'model.4.cv3.0.2.bias': ones([7]) };
  writeTorchFile(file, saved(other));
  const model = await YOLO.load(file);
  const [code, message] = refusal(() => model.model);
  assert.equal(code, 'UNSUPPORTED_WEIGHTS');
  assert.match(message, /^the weights do not fit yolov8-tiny: size mismatch for model\.4\.cv3\.0\.2\.bias/);
});

test('transfer from a .pt to another class count and channel count, as model= and as pretrained=', async () => {
  const state = network().stateDict();
  const file = writeTorchFile(at('transfer.pt'), new Map<Plain, Plain>([['model', saved(halves(state))]]));
  const data = { file: 'data.yaml', names: ['a', 'b', 'c'], channels: 4 };
  for (const [model, pretrained] of [
    [file, true],
    [file, file],
  ] as const) {
    const made = await makeTrainable(await openModel(model), data, {
      pretrained,
      box_bias: 2,
      recipe: '8.4',
      ir_channels: null,
    });
    const { transferred, total, skipped } = made.transfer!;
    assert.equal(total, Object.keys(state).length);
    // The class branch is as wide as the classes are many, up to 100: the last convolutions differ.
    assert.equal(transferred, total - skipped.length);
    assert.ok(
      skipped.every(({ key }) => key.startsWith('model.4.cv3.')),
      JSON.stringify(skipped),
    );
    const first = made.model.stateDict()['model.0.conv.weight']!;
    assert.deepEqual(first.shape, [8, 4, 3, 3]);
    assert.ok(first.narrow(1, 0, 3).equal(state['model.0.conv.weight']!.half().float()));
  }
});

test('.pt to safetensors and back: a detector keeps its description one way, and its numbers both ways', async () => {
  const state = halves(network().stateDict());
  const file = writeTorchFile(at('round.pt'), new Map<Plain, Plain>([['ema', saved(state)]]));
  const report = convertPtToSafetensors(file, at('round.safetensors'));
  assert.deepEqual(
    [report.model, report.names, report.tensors],
    ['yolov8-tiny', ['cat', 'dog'], Object.keys(state).length],
  );
  assert.equal(existsSync(at('round.json')), false);
  const model = await YOLO.load(at('round.safetensors'));
  assert.deepEqual(model.names, ['cat', 'dog']);
  equalTensors(model.model.stateDict(), readTorchWeights(file));
  await convertSafetensorsToPt(at('round.safetensors'), at('back.pt'));
  scope(() => equalTensors(loadPt(at('back.pt')), model.model.stateDict()));
});

test("resume takes Mezzo's own checkpoints only", async () => {
  const model = await YOLO.load('yolov8n');
  await assert.rejects(model.train({ data: at('data.yaml'), resume: at('transfer.pt') }), {
    code: 'NOTHING_TO_RESUME',
    message: `${at('transfer.pt')}: only Mezzo's own checkpoints can be resumed`,
  });
});

test('tensors of no known model are converted as they are', async () => {
  const file = writeTorchFile(at('other.pt'), new Map([['w', new SavedTensor(ones([2, 3]).half())]]));
  const report = convertPtToSafetensors(file, at('other.safetensors'));
  assert.deepEqual([report.model, report.names, report.tensors, report.values], [null, [], 1, 6]);
  assert.equal(loadSafetensors(at('other.safetensors')).tensors.w!.dtype, 'float16');
  const back = await convertSafetensorsToPt(at('other.safetensors'), at('other-back.pt'));
  assert.equal(back.model, null);
});

test('a conversion that is refused leaves no file', async () => {
  const before = readdirSync(folder);
  const cut = at('round.pt');
  const bytes = readFileSync(cut);
  writeFileSync(cut, bytes.subarray(0, bytes.length / 2));
  assert.equal(refusal(() => convertPtToSafetensors(cut, at('never.safetensors')))[0], 'PT_INVALID');
  assert.deepEqual(
    refusal(() => convertPtToSafetensors(at('gone.pt'), at('never.safetensors'))),
    ['NO_SUCH_FILE', `no such file: ${at('gone.pt')}`],
  );
  await assert.rejects(convertSafetensorsToPt(at('gone.safetensors'), at('never.pt')), {
    code: 'NO_SUCH_FILE',
  });
  assert.deepEqual(readdirSync(folder), before);
});
