import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mezzo } from './mezzo.ts';

interface Report {
  readonly examples: { name: string; goal: number; gap: number; passed: boolean }[];
}

test('mezzo example all: every lesson reaches its goal in fp32 and with AMP, two points apart at most', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mezzo-examples-'));
  try {
    const { code, stdout, stderr } = await mezzo(
      ['example', 'all', '--json'],
      { OMP_NUM_THREADS: '' },
      folder,
    );
    const missed = (JSON.parse(stdout) as Report).examples.filter(({ passed }) => !passed);
    assert.deepEqual(missed, []);
    assert.equal(code, 0, stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
