import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { loadSafetensors, MezzoError, noGrad, saveSafetensors } from '@mezzo/torch';
import { identityOf, readCheckpoint, writeCheckpoint } from '../src/engine/checkpoint.ts';
import { buildModel, type ExportOptions, YOLO } from '../src/index.ts';
import { equalTensors } from './equal-tensors.ts';
import { readOnnx } from './onnx-file.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();
const weights = path.join(folder, 'two.safetensors');
const at = (name: string) => path.join(folder, name);

before(async () => {
  const model = buildModel('yolov8n', { nc: 2, names: ['cat', 'dog'] });
  await writeCheckpoint(weights, {
    ...{ identity: identityOf(model), weights: model.stateDict() },
    ...{ data: null, epoch: 3, map50: 0.5, map: 0.25 },
  });
});

async function refusal(options: ExportOptions): Promise<MezzoError> {
  const model = await YOLO.load(weights);
  const before = readdirSync(folder);
  const error: unknown = await model.export(options).then(
    () => assert.fail('nothing was refused'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof MezzoError, String(error));
  assert.deepEqual(readdirSync(folder), before, 'nothing was written');
  return error;
}

test('ONNX goes beside the weights; sides are rounded up to the stride; the report says what was written', async () => {
  const model = await YOLO.load(weights);
  const report = await model.export({ imgsz: 70 });
  const { verification, ...rest } = report;
  const file = at('two.onnx');
  const bytes = readFileSync(file);
  assert.deepEqual(rest, {
    ...{ format: 'onnx', file, bytes: bytes.length, model: 'yolov8n', names: ['cat', 'dog'], half: null },
    onnx: {
      opset: 17,
      input: { name: 'images', shape: [1, 3, 96, 96] },
      output: { name: 'output0', shape: [1, 6, 189] },
    },
  });
  assert.ok(verification !== null);
  if (verification.verified) assert.ok(verification.boxError <= verification.tolerance.box);
  else assert.equal(verification.hint, 'npm install onnxruntime-node, and export again');
  assert.equal(readOnnx([bytes]).metadata.names, "{0: 'cat', 1: 'dog'}");
});

test('safetensors are plain weights that every command and every reader takes, also in fp16', async () => {
  const model = await YOLO.load(weights);
  const { weights: own, epoch } = await readCheckpoint(weights);
  const plain = await model.export({ format: 'safetensors' });
  assert.equal(plain.file, at('two-fp32.safetensors'));
  equalTensors(loadSafetensors(plain.file).tensors, own);
  const half = await model.export({ format: 'safetensors', half: true, out: at('small.safetensors') });
  assert.equal(half.bytes, readFileSync(half.file).length);
  assert.ok(half.bytes < 0.52 * plain.bytes);
  const { tensors } = loadSafetensors(half.file);
  assert.equal(tensors['model.0.conv.weight']!.dtype, 'float16');
  assert.equal(tensors['model.0.bn.num_batches_tracked']!.dtype, 'int64');
  assert.deepEqual((await YOLO.load(half.file)).names, ['cat', 'dog']);
  assert.equal((await readCheckpoint(half.file)).epoch, epoch);
});

test('weights that fp16 cannot hold leave no file, in both formats', async () => {
  const model = buildModel('yolov8n', { nc: 1 });
  noGrad(() => model.stateDict()['model.0.bn.bias']!.fill_(1e5));
  const { identity } = { identity: identityOf(model) };
  const file = at('wide.safetensors');
  await writeCheckpoint(file, {
    identity,
    weights: model.stateDict(),
    data: null,
    epoch: 0,
    map50: 0,
    map: 0,
  });
  const wide = await YOLO.load(file);
  for (const [format, name] of [
    ['onnx', 'model.0.conv.bias'],
    ['safetensors', 'model.0.bn.bias'],
  ] as const) {
    const out = at(`wide.${format}.out`);
    await assert.rejects(wide.export({ format, half: true, out, imgsz: 64 }), {
      code: 'HALF_RANGE',
      message: `1 tensor does not fit into fp16: ${name} (100000: beyond 65504)`,
    });
    assert.ok(!existsSync(out));
  }
});

test('formats of other programs are answered with the command that makes them', async () => {
  const error = await refusal({ format: 'engine', imgsz: 320 });
  assert.equal(error.code, 'UNSUPPORTED_OPTION');
  assert.equal(error.message, 'format=engine is made by another program, from an fp32 ONNX file');
  assert.equal(
    error.hint,
    `mezzo export model=${weights} format=onnx imgsz=320 out=two.onnx && trtexec --onnx=two.onnx --saveEngine=two.engine`,
  );
  for (const format of ['openvino', 'coreml', 'tflite', 'torchscript', 'saved_model', 'ncnn', 'paddle']) {
    const { code, hint } = await refusal({ format });
    assert.equal(code, 'UNSUPPORTED_OPTION');
    assert.match(hint!, / format=onnx .* && .*two\.onnx/);
  }
  assert.equal((await refusal({ format: 'onyx' })).message, 'format=onyx: no such format');
});

test('options that cannot be met are refused before anything is written', async () => {
  assert.equal((await refusal({ opset: 12 })).message, 'opset=12: expected a whole number from 17 to 21');
  for (const format of ['safetensors', 'onnx']) {
    const own = await refusal({ format, out: weights });
    assert.deepEqual([own.code, own.message], ['USAGE', `${weights} is the file that is read`]);
  }
  const nowhere = await refusal({ out: at('missing/x.onnx'), imgsz: 64 });
  assert.equal(nowhere.code, 'WRITE_FAILED');
  assert.equal(nowhere.message, `cannot write ${at('missing/x.onnx')}: no such folder`);
});

test('an existing file stays whole when an export fails', async () => {
  const out = at('kept.onnx');
  writeFileSync(out, 'old');
  await refusal({ out, source: at('no-pictures'), format: 'tflite' });
  assert.equal(readFileSync(out, 'utf8'), 'old');
});

test('a file of tensors without a model is refused', async () => {
  const file = at('tensors.safetensors');
  saveSafetensors(file, buildModel('yolov8n', { nc: 1 }).stateDict());
  await assert.rejects(YOLO.load(file), { code: 'NOT_A_CHECKPOINT' });
});
