import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mezzo } from './mezzo.ts';

interface Numbers {
  readonly map50: number;
  readonly map: number;
  readonly peakBytes: number;
}

test('mezzo demo: both runs reach mAP50 0.5, and AMP takes less memory where it is on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mezzo-demo-'));
  try {
    const cores = { OMP_NUM_THREADS: '' };
    const { code, stdout, stderr } = await mezzo(['demo', '--json'], cores, folder);
    assert.equal(code, 0, stderr);
    const { fp32, amp, precision } = JSON.parse(stdout) as {
      fp32: Numbers;
      amp: Numbers;
      precision: { enabled: boolean };
    };
    assert.ok(fp32.map50 >= 0.5 && amp.map50 >= 0.5);
    assert.ok(Math.abs(fp32.map50 - amp.map50) < 0.2);
    if (precision.enabled) assert.ok(amp.peakBytes < 0.9 * fp32.peakBytes);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
