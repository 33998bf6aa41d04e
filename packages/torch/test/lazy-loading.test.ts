import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const home = mkdtempSync(join(tmpdir(), 'mezzo-nothing-'));
after(() => rmSync(home, { recursive: true }));

/** Runs a module on a machine where no LibTorch can be found. */
function runWithoutLibTorch(script: string): { status: number | null; stdout: string; stderr: string } {
  const env = {
    ...process.env,
    LIBTORCH: '',
    MEZZO_HOME: home,
    MEZZO_PYTHON: join(home, 'python3'),
    PATH: home,
  };
  const entry = new URL('../src/index.js', import.meta.url).href;
  return spawnSync(process.execPath, ['--input-type=module', '-e', `const entry = '${entry}';\n${script}`], {
    env,
    encoding: 'utf8',
  });
}

test('without LibTorch the import succeeds, and the first use says what is missing', () => {
  const { status, stdout, stderr } = runWithoutLibTorch(`
    const { nn, ops, op, tensor } = await import(entry);
    const conv2d = op('aten::conv2d');
    console.log(typeof nn.Conv2d, typeof ops.add, typeof conv2d);
    try { tensor([1]); } catch (error) { console.log(error.name, error.code, typeof error.hint); }
  `);
  assert.equal(stderr, '');
  assert.equal(stdout, 'function function function\nMezzoError LIBTORCH_MISSING string\n');
  assert.equal(status, 0);
});

test('headers of safetensors files need no LibTorch', () => {
  const { stdout } = runWithoutLibTorch(`
    const { readSafetensorsHeader } = await import(entry);
    const { writeFileSync } = await import('node:fs');
    const header = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(process.env.MEZZO_HOME + '/a', Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]));
    console.log(JSON.stringify(readSafetensorsHeader(process.env.MEZZO_HOME + '/a').tensors));
  `);
  assert.equal(stdout, '{"a":{"dtype":"float32","shape":[1],"offsets":[0,4]}}\n');
});
