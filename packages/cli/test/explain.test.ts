import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { mezzo, type Outcome } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-explain-'));
after(() => rmSync(folder, { recursive: true }));

const SMALL = ['model=yolov8n', 'imgsz=64', 'batch=1', 'amp=bf16', 'device=cpu'];

function explain(...words: string[]): Promise<Outcome> {
  return mezzo(['explain', ...words], { OMP_NUM_THREADS: '1' }, folder);
}

interface Contract {
  layers: {
    name: string;
    ops: { op: string; in: string[]; out: string | null; rule: string; seconds: number; castBytes: number }[];
  }[];
  totals: { castBytes: number };
}

test('mezzo explain --json prints one document in the shape of the contract', async () => {
  const { code, stdout } = await explain(...SMALL, 'fp32=model.9', '--json');
  assert.equal(code, 0);
  const { layers, totals } = JSON.parse(stdout) as Contract;
  const ops = layers.flatMap((layer) => layer.ops);
  for (const each of ops) {
    assert.equal(typeof each.op, 'string');
    assert.ok(Array.isArray(each.in));
    assert.ok(each.out === null || typeof each.out === 'string');
    assert.ok(Number.isFinite(each.seconds) && Number.isInteger(each.castBytes));
  }
  assert.equal(
    ops.reduce((sum, { castBytes }) => sum + castBytes, 0),
    totals.castBytes,
  );
  const rules = (name: string) =>
    layers.find((layer) => layer.name === name)?.ops.filter(({ op }) => op === 'aten::conv2d')[0]?.rule;
  assert.equal(rules('model.8.cv2.conv'), 'low list');
  assert.equal(rules('model.9.cv1.conv'), 'plan');
});

test('mezzo explain prints tables and writes the page', async () => {
  const { code, stdout } = await explain(...SMALL, '--gradients', '--out', 'explain.html');
  assert.equal(code, 0);
  assert.match(stdout, /^One training step in bfloat16 on cpu \(/);
  assert.match(stdout, /\nlayer +operator +dtypes +rule/);
  assert.match(stdout, /\nGradients, float32 against bfloat16/);
  assert.match(stdout, /\nWritten to explain\.html\n$/);
  assert.match(readFileSync(join(folder, 'explain.html'), 'utf8'), /^<!doctype html>/);
});

test('bad input to mezzo explain: exit code 2, and nothing is written', async () => {
  const cases: [string[], string][] = [
    [['--out', 'explain.txt'], 'out=explain.txt: expected a name that ends in .html or .json'],
    [['fp32=modle.9'], "no layer matches 'modle.9'"],
    [['epochs=3'], 'epochs is an option of mezzo train, not of mezzo explain'],
  ];
  for (const [words, message] of cases) {
    const { code, stdout, stderr } = await explain(...SMALL, ...words);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.ok(stderr.includes(message), stderr);
  }
  assert.equal(existsSync(join(folder, 'explain.txt')), false);
});
