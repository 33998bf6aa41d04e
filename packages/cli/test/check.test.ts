import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { DetectorReport } from '@mezzo/detect';
import { native } from '@mezzo/libtorch';
import { reportLines } from '../src/preflight-view.ts';
import { mezzo } from './mezzo.ts';
import { recordingTerminal } from './recording-terminal.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-check-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const SMALL = ['check', 'model=yolov8n', 'imgsz=64', 'batch=2', 'device=cpu', 'amp=bf16'];
const env = { OMP_NUM_THREADS: '1' };

test('mezzo check: the verdict and its numbers for reading, exit code 0', async () => {
  const { code, stdout } = await mezzo(SMALL, env, folder);
  assert.equal(code, 0);
  const lines = stdout.split('\n');
  assert.equal(lines[0], 'AMP: checks passed');
  assert.match(
    lines[1]!,
    /^yolov8n, 3 channels, made-up pictures, batch 2, 64 px, bfloat16 on cpu \(amp=bf16\), /,
  );
  assert.match(stdout, /\n {2}gradient cosine {5}0\.\d{3} +0\.\d{3}\n/);
  assert.match(stdout, /\n {2}convolutions {8}44 right +error \S+ at most\n/);
  assert.match(stdout, /\nnote {4}consistency: checked with made-up pictures and boxes \[SYNTHETIC_DATA\]\n/);
});

test('mezzo check --json: the contract, and the verdict of before', async () => {
  const { code, stdout } = await mezzo([...SMALL, '--json'], env, folder);
  assert.equal(code, 0);
  const report = JSON.parse(stdout) as DetectorReport;
  assert.equal(report.ok, true);
  assert.equal(report.verdict, 'sound');
  assert.equal(report.cached, true);
  for (const { class: of, code: kind, message, remedy, evidence } of report.findings) {
    assert.equal(of, 'consistency');
    assert.ok([kind, message, remedy].every((text) => text.length > 0));
    assert.equal(typeof evidence, 'object');
  }
  for (const name of ['lossGap', 'minGradCosine', 'boxErrorPx'] as const)
    assert.ok(report.numbers[name]! > 0, name);
});

test('mezzo check: what cannot be sound exits with 1 and says why', {
  skip: native().cudaAvailable(),
}, async () => {
  const { code, stdout } = await mezzo(['check', 'device=0', 'imgsz=64', '--json'], env, folder);
  assert.equal(code, 1);
  const report = JSON.parse(stdout) as DetectorReport;
  assert.equal(report.ok, false);
  assert.equal(report.verdict, 'unavailable');
  assert.deepEqual(report.findings, [
    {
      class: 'environment',
      code: 'NO_GPU',
      severity: 'error',
      message: 'device=cuda:0: LibTorch sees no CUDA device',
      remedy: 'mezzo doctor says what was found and why; device=cpu always works',
      evidence: report.findings[0]!.evidence,
    },
  ]);
});

test('mezzo check: bad input exits with 2', async () => {
  for (const [words, error] of [
    [['amp=maybe'], /^error: amp=maybe: /],
    [['data=nowhere.yaml'], /^error: there is no data set 'nowhere.yaml'; searched: /m],
    [['model=nowhere.safetensors'], /^error: nowhere.safetensors is not there; /],
    [['epochs=3'], /^error: epochs is an option of mezzo train, not of mezzo check/],
  ] as const) {
    const { code, stdout, stderr } = await mezzo(['check', ...words, 'device=cpu'], env, folder);
    assert.equal(code, 2, words[0]);
    assert.equal(stdout, '');
    assert.match(stderr, error);
  }
});

test('a report with islands and errors, for reading', () => {
  const numbers: DetectorReport['numbers'] = {
    lossGap: 0.0123,
    minGradCosine: 0.91,
    boxErrorPx: 0.052,
    gradCosine: 0.985,
    roundingGradCosine: 0.987,
    roundingLossGap: 0.01,
    convolutionError: null,
    convolutions: 44,
    scale: 4096,
    batch: 16,
    peakBytes: 5.2e8,
    peakBytesFloat32: 9.1e8,
    seconds: 8.25,
    differences: { boxErrorPx: 0.052, assignmentChanges: 0.02 },
    roundingDifferences: { boxErrorPx: 0.04 },
  };
  const report: DetectorReport = {
    ok: false,
    verdict: 'unsound',
    line: 'AMP: checks failed: hardware: the kernel is wrong',
    findings: [
      {
        class: 'hardware',
        code: 'CONVOLUTION_WRONG',
        severity: 'error',
        message: 'the kernel is wrong',
        remedy: 'train with amp=false',
        evidence: {},
      },
    ],
    numbers,
    plan: null,
    cached: false,
    cacheNote: 'the verdict could not be kept (full)',
    model: { name: 'best', channels: 1 },
    ranges: null,
    data: 'a.yaml',
    imgsz: 640,
    batch: 16,
    device: 'cuda:0',
    amp: { dtype: 'float16', reason: 'compute capability 7.5' },
  };
  assert.deepEqual(reportLines(report, recordingTerminal({ interactive: false })), [
    'AMP: checks failed: hardware: the kernel is wrong',
    'best, 1 channel, a.yaml, batch 16, 640 px, float16 on cuda:0 (compute capability 7.5), 8.3 s, the verdict could not be kept (full)',
    '',
    '                      low precision   rounding alone',
    '  loss gap            1.2 %           1 %',
    '  gradient cosine     0.985           0.987',
    '  least of a layer    0.910',
    '  box error           0.052 px        0.04 px',
    '  assignment changes  2 %',
    '  loss scale          4096',
    '  memory              520 MB          float32: 910 MB',
    '',
    'error   hardware: the kernel is wrong [CONVOLUTION_WRONG]',
    'remedy  train with amp=false',
  ]);
});
