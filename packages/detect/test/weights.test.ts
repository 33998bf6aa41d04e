import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ones, saveSafetensors } from '@mezzo/torch';
import { identityOf, readCheckpoint, writeCheckpoint } from '../src/engine/checkpoint.ts';
import { buildModel, generateShapes, MezzoError, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-weights-'));
const at = (name: string) => path.join(folder, name);
const data = at('shapes/data.yaml');

/** The weights of an untrained model of some class names. */
async function writeWeights(name: string, names: string[]): Promise<string> {
  const model = buildModel('yolov8n', { nc: names.length, names });
  const file = at(name);
  const contents = {
    identity: identityOf(model),
    weights: model.stateDict(),
    data: null,
    epoch: 0,
    map50: 0,
    map: 0,
  };
  await writeCheckpoint(file, contents);
  return file;
}

async function refusal(
  action: Promise<unknown>,
): Promise<[code: string, message: string, hint: string | undefined]> {
  try {
    await action;
  } catch (error) {
    assert.ok(error instanceof MezzoError, String(error));
    return [error.code, error.message, error.hint];
  }
  assert.fail('nothing was refused');
}

before(async () => {
  await generateShapes({ out: at('shapes'), train: 4, val: 2, imgsz: 64, seed: 1 });
  await writeWeights('two.safetensors', ['cat', 'dog']);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('weights come back as they were written, with their class names', async () => {
  const file = at('two.safetensors');
  const { weights, identity } = await readCheckpoint(file);
  const model = await YOLO.load(file);
  assert.deepEqual(model.names, ['cat', 'dog']);
  assert.equal(identity.name, 'yolov8n');
  equalTensors(model.model.stateDict(), weights);
  const readable = JSON.parse(readFileSync(at('two.json'), 'utf8')) as { model: { names: string[] } };
  assert.deepEqual(readable.model.names, ['cat', 'dog']);
});

test('best.pt beside best.safetensors means the latter', async () => {
  assert.equal((await YOLO.load(at('two.pt'))).name, 'two');
});

test('weights of another class count are refused in validation, and transferred where they fit in training', async () => {
  const model = await YOLO.load(at('two.safetensors'));
  assert.deepEqual(await refusal(model.val({ data, imgsz: 64, plots: false })), [
    'CLASS_COUNT',
    `the weights know 2 classes, ${data} has 3`,
    'give the data set that the weights were trained on, or train on this one first',
  ]);
  const messages: string[] = [];
  await model.train({
    ...{ data, imgsz: 64, epochs: 1, batch: 4, plots: false, project: folder, device: 'cpu' },
    onEvent: (event) => event.event === 'message' && messages.push(event.text),
  });
  // The last convolutions of the three class branches, weight and bias, have another shape.
  assert.ok(messages.includes('Transferred 349/355 items from pretrained weights'), messages.join('\n'));
});

test('what is not there is named with the places searched and the way on', async () => {
  assert.deepEqual(await refusal(YOLO.load(at('yolov8s.pt'))), [
    'NO_SUCH_MODEL',
    `${at('yolov8s.pt')} is not there; looked for ${at('yolov8s.pt')} and ${at('yolov8s.safetensors')}`,
    'Mezzo downloads no weights: model=yolov8s trains from scratch, or give the path of your own weights',
  ]);
  assert.deepEqual(await refusal(YOLO.load(at('none.yaml'))), [
    'NO_SUCH_MODEL',
    `${at('none.yaml')} is not there; looked for ${at('none.yaml')}`,
    'Mezzo downloads no weights: model=yolov8n trains from scratch, or give the path of your own weights',
  ]);
});

test('a file that is no checkpoint says what it is', async () => {
  const plain = at('plain.safetensors');
  saveSafetensors(plain, { w: ones([2]) });
  assert.deepEqual(await refusal(YOLO.load(plain)), [
    'NOT_A_CHECKPOINT',
    `${plain} holds tensors but does not say of which model`,
    'start from the model instead and take the tensors over: model=yolov8n pretrained=FILE.safetensors',
  ]);
  const foreign = at('foreign.pt');
  writeFileSync(foreign, 'PK');
  const [code, message] = await refusal(YOLO.load(foreign));
  assert.deepEqual([code, message], ['PT_FOREIGN', `${foreign}: it is not a file that torch.save wrote`]);
});

test('a truncated checkpoint is refused', async () => {
  const file = at('cut.safetensors');
  writeFileSync(file, readFileSync(at('two.safetensors')).subarray(0, 500_000));
  const [code, message] = await refusal(YOLO.load(file));
  assert.equal(code, 'SAFETENSORS_INVALID');
  assert.ok(message.startsWith(`${file}: `), message);
});

test('without data a validation asks for it', async () => {
  const model = await YOLO.load(at('two.safetensors'));
  assert.deepEqual(await refusal(model.val()), [
    'NO_DATA',
    'no data set was given, and the weights do not say which they were trained on',
    'data= names the data.yaml',
  ]);
});
