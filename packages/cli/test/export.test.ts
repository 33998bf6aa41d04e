import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { ExportReport, Verification } from '@mezzo/detect';
import { exportLines } from '../src/export-view.ts';
import { mezzo } from './mezzo.ts';
import { recordingTerminal } from './recording-terminal.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-export-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const env = { OMP_NUM_THREADS: '1' };

test('mezzo export: a file beside the weights and its report as JSON, exit code 0', async () => {
  const { code, stdout } = await mezzo(
    ['export', 'model=yolov8n', 'imgsz=64', 'nms=true', '--json'],
    env,
    folder,
  );
  assert.equal(code, 0);
  const report = JSON.parse(stdout) as ExportReport;
  assert.equal(report.file, 'yolov8n.onnx');
  assert.ok(existsSync(path.join(folder, 'yolov8n.onnx')));
  assert.deepEqual(report.onnx!.output, { name: 'output0', shape: [1, 300, 6] });
  assert.equal(typeof report.verification!.verified, 'boolean');
});

test('mezzo export format=engine: exit code 2, nothing loaded or written, and the command that makes it', async () => {
  const before = readdirSync(folder);
  const { code, stdout, stderr } = await mezzo(
    ['export', 'model=best.safetensors', 'format=engine', 'imgsz=320'],
    { LIBTORCH: '/nowhere' },
    folder,
  );
  assert.equal(code, 2);
  assert.equal(stdout, '');
  const told = stderr.slice(stderr.indexOf('error:'));
  assert.equal(
    told,
    'error: format=engine is made by another program, from an fp32 ONNX file\n' +
      'hint:  mezzo export model=best.safetensors format=onnx imgsz=320 out=best.onnx && ' +
      'trtexec --onnx=best.onnx --saveEngine=best.engine\n',
  );
  assert.deepEqual(readdirSync(folder), before);
});

test('mezzo export: a missing model and options of other commands exit with 2', async () => {
  for (const [words, message] of [
    [[], 'error: model= is missing: the weights to export'],
    [['model=yolov8n', 'epochs=3'], 'error: epochs is an option of mezzo train, not of mezzo export'],
    [['model=nothing.safetensors'], 'error: nothing.safetensors is not there; looked for '],
  ] as const) {
    const { code, stderr } = await mezzo(['export', ...words], env, folder);
    assert.equal(code, 2);
    assert.ok(stderr.includes(message), stderr);
  }
});

test('the report for people says whether the file was verified, and what fp16 costs', () => {
  const terminal = recordingTerminal({ interactive: false });
  const report: ExportReport = {
    ...{ format: 'onnx', file: 'best.onnx', bytes: 12_077_544, model: 'yolov8n', names: ['a'] },
    half: {
      ...{ tensors: 126, values: 3006217, flushed: 2, rounding: 0.0004 },
      faint: [{ name: 'model.22.cv2.2.0.conv.bias', largest: 1.6e-8 }],
      largest: { name: 'model.22.cv3.0.2.bias', magnitude: 8.3 },
    },
    onnx: {
      opset: 17,
      input: { name: 'images', shape: ['batch', 3, 'height', 'width'] },
      output: { name: 'output0', shape: ['batch', 5, 'anchors'] },
    },
    verification: {
      verified: false,
      reason: 'onnxruntime-node is not installed',
      hint: 'npm install onnxruntime-node',
    },
  };
  assert.deepEqual(exportLines(report, terminal), [
    'best.onnx  12 MB, yolov8n, 1 class',
    'ONNX opset 17: images [batch, 3, height, width] → output0 [batch, 5, anchors], fp32',
    'fp16: all 126 tensors fit; of 3006217 numbers 2 become zero; the largest is 8.30 (model.22.cv3.0.2.bias, limit 65504)',
    'fp16: model.22.cv2.2.0.conv.bias is at most 1.60e-8, below what fp16 holds with all its bits',
    'not verified: onnxruntime-node is not installed; to verify: npm install onnxruntime-node',
  ]);
  const verification: Verification = {
    verified: true,
    runtime: 'onnxruntime-node 1.30.0',
    images: 20,
    reference: 'fp32',
    boxError: 0.001,
    scoreError: 1.5e-6,
    tolerance: { box: 0.003, score: 1e-4 },
    detections: 353,
  };
  assert.deepEqual(exportLines({ ...report, half: null, onnx: null, verification }, terminal).slice(1), [
    'verified with onnxruntime-node 1.30.0 on 20 images: boxes within 1.0e-3 px (allowed 0.003), ' +
      'scores within 1.5e-6 (allowed 0.0001), and after suppression the same 353 boxes',
  ]);
});
