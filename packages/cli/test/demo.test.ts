import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { mezzo } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-demo-'));
after(() => rmSync(folder, { recursive: true }));

test('a demo too short to learn prints its comparison, leaves its files, and fails by name', async () => {
  const words = ['demo', 'epochs=1', 'train=16', 'val=4', 'imgsz=64', 'batch=8', '--out', 'short'];
  const { code, stdout, stderr } = await mezzo(words, { OMP_NUM_THREADS: '1' }, folder);
  assert.equal(code, 1);
  assert.match(stdout, /^Generating 16 \+ 4 pictures of 64 x 64 pixels in short\/shapes-64px-16-4-seed0\n/);
  assert.match(stdout, /\n +fp32 +AMP( \(off\))? +ratio\ntime per epoch +\S+ s +\S+ s +\S+x\npeak memory /);
  assert.match(
    stdout,
    /\nmAP50 .*\nmAP50-95 .*\nskipped steps +0 +0\nfinal loss scale +no scaler +no scaler\n/,
  );
  const out = join(folder, 'short');
  assert.match(
    stderr,
    new RegExp(
      `error: ${out}/fp32: mAP50 0\\.\\d{3} is below 0\\.5\nhint: {2}train longer: mezzo demo epochs=30\n$`,
    ),
  );
  for (const run of ['fp32', 'amp']) {
    assert.ok(existsSync(join(out, run, 'weights', 'best.safetensors')));
    assert.ok(existsSync(join(out, run, 'results.png')));
  }
  assert.equal(readdirSync(join(out, 'predict')).length, 4);
});
