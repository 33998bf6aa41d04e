import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { empty, ones, type Tensor } from '@mezzo/torch';
import { buildModel, MezzoError, readTorchCheckpoint } from '../src/index.ts';
import { scratchFolder } from './scratch.ts';
import {
  type Plain,
  SavedModule,
  SavedTensor,
  torchParts,
  writeTorchFile,
  writeTorchParts,
} from './torch-file.ts';

const folder = scratchFolder();
const file = path.join(folder, 'crafted.pt');
const NC = 2_000_000_000;

const TABLE = {
  nc: 2,
  scales: { t: [1, 0.0625, 256] },
  backbone: [
    [-1, 1, 'Conv', [64, 3, 2]],
    [-1, 1, 'Conv', [128, 3, 2]],
  ],
  head: [[[0, 1], 1, 'Detect', ['nc']]],
};
const state = (): Record<string, Tensor> => buildModel(TABLE, { name: 'tiny' }).stateDict();

function plain(value: unknown): Plain {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Plain;
  return new Map(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** A network saved whole; `yaml` is added to its description. */
function network(weights: Record<string, Tensor>, yaml: object, nc = 2): SavedModule {
  const description = new Map([
    ...(plain(TABLE) as Map<Plain, Plain>),
    ...Object.entries(yaml).map(plainPair),
  ]);
  return new SavedModule('ultralytics.nn.tasks.DetectionModel', weights, {
    yaml: description,
    names: [],
    nc,
  });
}
const plainPair = ([key, value]: [string, unknown]): [Plain, Plain] => [key, plain(value)];

function refusal(write: () => string): [code: string, message: string] {
  const written = write();
  try {
    readTorchCheckpoint(written);
  } catch (error) {
    assert.ok(error instanceof MezzoError, String(error));
    return [error.code, error.message];
  }
  return assert.fail('nothing was refused');
}

test('billions of classes, claimed by a description or by the shape of an empty tensor', () => {
  assert.deepEqual(
    refusal(() => writeTorchFile(file, network(state(), {}, NC))),
    ['BAD_MODEL', `model table: 'nc' must be at most 65536, got ${NC}`],
  );
  const published = buildModel('yolov8n', { nc: 2 }).stateDict();
  const wide = { ...published, 'model.22.cv3.0.2.weight': empty([NC, 0, 1, 1]) };
  const saved = new Map(Object.entries(wide).map(([key, t]): [Plain, Plain] => [key, new SavedTensor(t)]));
  assert.deepEqual(
    refusal(() => writeTorchFile(file, saved)),
    ['UNSUPPORTED_WEIGHTS', `${file}: its ${Object.keys(wide).length} tensors fit no model that is known`],
  );
});

test('tensors that share a storage do not vouch for a network as large as all of them', () => {
  const shared = ones([20_000]);
  const weights = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`w${i}`, shared]));
  const wide = { scales: { t: [1, 1, 1024] } };
  assert.deepEqual(
    refusal(() => writeTorchFile(file, network(weights, wide))),
    ['UNSUPPORTED_WEIGHTS', `${file}: it describes a network far larger than the 500 tensors it holds`],
  );
});

test('a name under fifty thousand prefixes, and two hundred thousand names of one tensor', () => {
  const deep = new Map<Plain, Plain>([[`${'module.'.repeat(50_000)}w`, new SavedTensor(ones([2]))]]);
  const unknown = (count: number) => [
    'UNSUPPORTED_WEIGHTS',
    `${file}: its ${count} tensors fit no model that is known`,
  ];
  assert.deepEqual(
    refusal(() => writeTorchFile(file, deep)),
    unknown(1),
  );
  const { pickle, storages } = torchParts(new SavedTensor(ones([2])));
  const names = Array.from({ length: 200_000 }, (_, i) => {
    const name = String(i).padStart(6, '0');
    return `X\x06\0\0\0${name}h\0s`;
  });
  const program = Buffer.concat([pickle.subarray(0, -1), Buffer.from(`q\x000}${names.join('')}.`, 'latin1')]);
  assert.deepEqual(
    refusal(() => writeTorchParts(file, program, storages)),
    unknown(200_000),
  );
});

test('keys that are no text: tuples of tuples, as many as text would be endless', () => {
  let key = 'K\x01\x85q\0';
  for (let level = 0; level < 40; level++) {
    const below = `h${String.fromCharCode(level)}`;
    key += `0${below}${below}\x86q${String.fromCharCode(level + 1)}`;
  }
  const dict = Buffer.concat([Buffer.from([0x80, 2]), Buffer.from(`}${key}Ns.`, 'latin1')]);
  assert.deepEqual(
    refusal(() => writeTorchParts(file, dict, [])),
    ['UNSUPPORTED_WEIGHTS', `${file} holds no network: its keys are something else than text`],
  );
});

test("words of the description that are names of JavaScript's own", () => {
  for (const key of ['__proto__', 'constructor', 'toString']) {
    const weights = state();
    const module = network(weights, {});
    (module.attributes.get('yaml') as Map<Plain, Plain>).set(key, 1);
    assert.deepEqual(
      refusal(() => writeTorchFile(file, module)),
      ['BAD_MODEL', `model table: unknown key '${key}'`],
    );
  }
});
