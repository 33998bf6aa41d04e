import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { Explanation } from '@mezzo/precision';
import { generateShapes, YOLO } from '../src/index.ts';

process.env.OMP_NUM_THREADS ??= '1';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-explain-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const small = { imgsz: 64, batch: 2, device: 'cpu', workers: 0 } as const;

const ops = ({ layers }: Explanation, name: string) => {
  const found = layers.find((layer) => layer.name === name);
  assert.ok(found, name);
  return found.ops;
};

test('a training step of YOLOv8n under bf16, on made-up pictures', async () => {
  const model = await YOLO.load('yolov8n');
  const out = path.join(folder, 'explain.html');
  const explanation = await model.explain({ ...small, amp: 'bf16', gradients: true, out });

  const first = ops(explanation, 'model.0.conv')[0]!;
  assert.deepEqual([first.op, first.rule, first.out], ['aten::conv2d', 'low list', 'bfloat16']);
  // The picture arrives in bf16: the weight alone is cast.
  assert.deepEqual(first.in, ['bfloat16', 'float32']);
  assert.equal(first.casts, 1);
  assert.equal(first.castBytes, 16 * 3 * 3 * 3 * 6);
  assert.equal(ops(explanation, 'model.0.bn').find(({ op }) => op === 'aten::batch_norm')?.out, 'bfloat16');
  // The loss is computed in float32.
  assert.deepEqual(
    new Set(ops(explanation, 'loss').flatMap(({ op, out }) => (op === 'aten::softplus' ? [out] : []))),
    new Set(['float32']),
  );
  const { layers, totals } = explanation;
  assert.ok(layers.some(({ name }) => name === 'model.22.cv3.2.2'));
  assert.equal(totals.products.count, 126);
  assert.ok(totals.castBytes > 0 && totals.castSeconds > 0);
  assert.equal(layers.filter(({ gradient }) => gradient !== null).length, 120);
  assert.match(
    readFileSync(out, 'utf8'),
    /^<!doctype html>\n.*<title>Precision of yolov8n: batch 2, 64 px<\/title>/s,
  );
});

test('Y9: no data of a YOLOv8n step is cast back and forth, Upsample and Concat included', async () => {
  const explanation = await (await YOLO.load('yolov8n')).explain({ ...small, amp: 'bf16' });
  assert.deepEqual(explanation.detours, []);
  for (const name of ['model.10', 'model.11', 'model.13', 'model.14']) {
    assert.deepEqual(new Set(ops(explanation, name).map(({ casts }) => casts)), new Set([0]), name);
  }
});

test('on the pictures of a data set, in fp16 with the loss scale, written as JSON', async () => {
  const { yaml } = await generateShapes({
    out: path.join(folder, 'shapes'),
    train: 3,
    val: 1,
    imgsz: 64,
    seed: 1,
  });
  const out = path.join(folder, 'explain.json');
  const model = await YOLO.load('yolov8n');
  const explanation = await model.explain({ ...small, data: yaml, amp: 'fp16', init_scale: 1024, out });
  assert.deepEqual(explanation.precision, { device: 'cpu', dtype: 'float16', scale: 1024 });
  assert.equal(ops(explanation, 'model.0.conv')[0]!.out, 'float16');
  assert.deepEqual(JSON.parse(readFileSync(out, 'utf8')), JSON.parse(JSON.stringify(explanation)));
});

test('a name that tells no format is refused before anything runs', async () => {
  const out = path.join(folder, 'explain.txt');
  await assert.rejects((await YOLO.load('yolov8n')).explain({ ...small, out }), {
    code: 'BAD_OPTION',
    message: `out=${out}: expected a name that ends in .html or .json`,
  });
  assert.equal(existsSync(out), false);
});
