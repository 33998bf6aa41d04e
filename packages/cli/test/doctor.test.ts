import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { discoverLibTorch } from '@mezzo/libtorch';
import { mezzo } from './mezzo.ts';

const { libtorch } = discoverLibTorch();

test('doctor --json has the keys that programs rely on', async () => {
  const { stdout } = await mezzo(['doctor', '--json']);
  const report = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
  for (const key of ['ok', 'node', 'libtorch', 'cpu', 'gpus', 'amp', 'problems'])
    assert.ok(key in report, key);
  assert.deepEqual([report.node, report.libtorch?.version], [process.version, libtorch?.version]);
  for (const key of ['cores', 'bf16', 'fp16']) assert.ok(key in report.cpu!, key);
  assert.deepEqual(Object.keys(report.amp!), ['default', 'reason']);
});

test('doctor as text ends with its verdict; the exit code is that verdict', async () => {
  const { code, stdout } = await mezzo(['doctor']);
  assert.match(stdout, /^System +linux x64, glibc \S+\nNode +v\d/);
  assert.match(stdout, /\nAMP +(fp16|bf16|fp32) by default: \S/);
  if (code === 0) assert.match(stdout, /\n\nNo problems\.\n$/);
  else assert.match(stdout, /\n\nproblem /);
});

test('without LibTorch doctor says so, with the fix, and exits with 1', async () => {
  const home = mkdtempSync(join(tmpdir(), 'mezzo-home-'));
  try {
    const env = { LIBTORCH: '/nonexistent', MEZZO_HOME: home };
    const text = await mezzo(['doctor'], env);
    assert.equal(text.code, 1);
    assert.match(text.stdout, /\nLibTorch +none\nAddon +not compiled yet\n/);
    assert.match(text.stdout, /\nproblem .*\[LIBTORCH_MISSING\]\nfix {5}\S/);
    const { code, stdout } = await mezzo(['doctor', '--json'], env);
    const report = JSON.parse(stdout) as { ok: boolean; libtorch: unknown; problems: { code: string }[] };
    assert.deepEqual([code, report.ok, report.libtorch], [1, false, null]);
    assert.ok(report.problems.some((problem) => problem.code === 'LIBTORCH_MISSING'));
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('a LIBTORCH that cannot be used stops a command with what was found, what is required and the fix', async () => {
  const env = { LIBTORCH: '/nonexistent' };
  const { code, stdout, stderr } = await mezzo(['setup'], env);
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(
    stderr,
    [
      'error: Could not load LibTorch.',
      '  Found:    no such folder: /nonexistent (LIBTORCH)',
      '  Requires: LibTorch 2.10 to 2.15',
      '  Fix:      set LIBTORCH to another folder, or unset it and run mezzo setup',
      '',
    ].join('\n'),
  );
});

test('setup with nothing missing changes nothing and says what is there', async () => {
  const { code, stdout } = await mezzo(['setup', '--json']);
  assert.equal(code, 0);
  const { libtorch: used, addon } = JSON.parse(stdout) as { libtorch: { path: string }; addon: string };
  assert.equal(used.path, libtorch?.path);
  assert.match(addon, /\.node$/);
});
