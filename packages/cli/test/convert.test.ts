import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildModel, convertPtToSafetensors, YOLO } from '@mezzo/detect';
import { savePt } from '@mezzo/torch';
import { mezzo } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-convert-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

before(() => savePt(at('net.pt'), buildModel('yolov8n', { nc: 2 }).stateDict()));

test('a .pt file becomes safetensors beside it, that every command takes; once more needs exist_ok', async () => {
  const { code, stdout } = await mezzo(['convert', 'net.pt'], {}, folder);
  assert.deepEqual([code, stdout], [0, 'net.safetensors: 355 tensors of yolov8n, 2 classes, 12 MB\n']);
  assert.deepEqual((await YOLO.load(at('net.safetensors'))).names, ['0', '1']);
  const again = await mezzo(['convert', 'net.pt'], {}, folder);
  assert.deepEqual(again, {
    code: 2,
    stdout: '',
    stderr:
      'error: net.safetensors is there already\nhint:  exist_ok=true writes over it; --out names another file\n',
  });
  const json = await mezzo(['convert', 'net.pt', '--exist-ok', '--json'], {}, folder);
  assert.deepEqual(JSON.parse(json.stdout), {
    ...{ from: 'net.pt', to: 'net.safetensors', model: 'yolov8n', names: ['0', '1'], tensors: 355 },
    ...{ values: 3_021_695, bytes: readFileSync(at('net.safetensors')).length },
  });
});

test('safetensors become a plain state dict', async () => {
  convertPtToSafetensors(at('net.pt'), at('own.safetensors'));
  const { code, stdout } = await mezzo(['convert', 'own.safetensors', '--to', 'pt'], {}, folder);
  assert.deepEqual(
    [code, stdout],
    [
      0,
      "own.pt: 355 tensors of yolov8n, 2 classes, 12 MB\nIn Python: torch.load('own.pt', weights_only=True)\n",
    ],
  );
});

test('wrong usage and bad files: exit code 2, and nothing written', async () => {
  writeFileSync(at('cut.pt'), readFileSync(at('net.pt')).subarray(0, 100_000));
  const before = readdirSync(folder);
  const known = 'hint:  mezzo convert knows: WEIGHTS.pt to safetensors, WEIGHTS.safetensors to pt';
  for (const [words, stderr] of [
    [[], `error: what to convert is missing\n${known}`],
    [['a.pt', 'b.pt'], `error: one input at a time: 'b.pt'\n${known}`],
    [['net.onnx'], `error: net.onnx cannot be converted: into what?\n${known}; --to says which`],
    [['net.pt', '--to', 'pt'], `error: net.pt cannot be converted: not to pt\n${known}; --to says which`],
    [['net.pt', '--out', 'net.onnx'], 'error: --out net.onnx is no name for a result in safetensors'],
    [['gone.pt'], 'error: no such file: gone.pt'],
  ] as const) {
    const outcome = await mezzo(['convert', ...words], {}, folder);
    assert.deepEqual([outcome.code, outcome.stdout], [2, ''], words.join(' '));
    assert.equal(outcome.stderr.slice(0, stderr.length), stderr);
  }
  const { code, stdout } = await mezzo(['convert', 'cut.pt', '--json'], {}, folder);
  assert.equal(code, 2);
  assert.deepEqual(JSON.parse(stdout), {
    event: 'error',
    code: 'PT_INVALID',
    message: 'cut.pt: its table of contents at the end is missing: the file was cut off',
    hint: 'the file is damaged or incomplete: copy or download it again',
  });
  assert.deepEqual(readdirSync(folder), before);
});
