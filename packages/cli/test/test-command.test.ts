import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findTestFiles } from '../src/test-runner/files.ts';
import { runTestFile } from '../src/test-runner/run-file.ts';
import { ROOT } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-runner-'));
after(() => rmSync(folder, { recursive: true }));

function runText(name: string, text: string) {
  const path = join(folder, `${name}.test.mjs`);
  writeFileSync(path, `import test, { describe, it } from 'node:test';\n${text}`);
  return runTestFile({ name, path, long: false }, new AbortController().signal);
}

test('counts tests, not suites; names carry those around them', async () => {
  const { tests } = await runText(
    'mixed',
    `test('good', () => {});
     describe('suite', () => { it('inner', () => {}); it('wrong', () => { throw new Error('reason'); }); });
     test('outer', async (t) => { await t.test('sub', () => { throw new Error('deep'); }); });
     test('left out', { skip: 'no GPU' }, () => {});`,
  );
  assert.deepEqual(
    tests.map(({ name, outcome }) => `${outcome} ${name}`),
    ['passed good', 'passed suite › inner', 'failed suite › wrong', 'failed outer › sub', 'skipped left out'],
  );
  assert.match(tests[2]!.text!, /^Error: reason\n {4}at /);
  assert.equal(tests[4]!.text, 'no GPU');
});

test('a file that dies, or fails to load, is a failed test with its output', async () => {
  const dead = await runText(
    'dead',
    `test('kill', () => { console.error('last words'); process.kill(process.pid, 'SIGKILL'); });`,
  );
  assert.deepEqual(dead.tests, [
    { name: 'the whole file', outcome: 'failed', text: 'the process ended with SIGKILL' },
  ]);
  assert.equal(dead.output, 'last words\n');
  const broken = await runText('broken', 'import "./nowhere.mjs";');
  assert.deepEqual(broken.tests, [
    { name: 'the whole file', outcome: 'failed', text: 'the process ended with exit code 1' },
  ]);
  assert.match(broken.output, /Cannot find module/);
});

test('tests run with one compute thread', async () => {
  const { OMP_NUM_THREADS: before } = process.env;
  delete process.env.OMP_NUM_THREADS;
  try {
    const { tests, output } = await runText(
      'threads',
      `test('t', () => console.log(process.env.OMP_NUM_THREADS));`,
    );
    assert.deepEqual([tests.length, output], [1, '1\n']);
  } finally {
    if (before !== undefined) process.env.OMP_NUM_THREADS = before;
  }
});

test('finds the test files of all packages, by parts of names, campaigns only when asked', async () => {
  const all = (await findTestFiles([], false)).map(({ name }) => name);
  for (const name of readdirSync(join(ROOT, 'packages'))) {
    assert.ok(
      all.some((file) => file.startsWith(`${name}/`)),
      `none of ${name}`,
    );
  }
  assert.ok(all.includes('cli/test-command') && all.includes('examples/regression'));
  assert.ok(all.every((name) => !name.endsWith('.long')));
  assert.deepEqual(
    (await findTestFiles(['cli/test-command', 'config-words'], true)).map(({ name }) => name),
    ['detect/config-words', 'cli/test-command'],
  );
  assert.deepEqual(await findTestFiles(['no such file'], false), []);
});
