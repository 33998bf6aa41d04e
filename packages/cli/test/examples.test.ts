import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { mezzo } from './mezzo.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-examples-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('mezzo example amp learns, and leaves no tensor behind', async () => {
  const { code, stdout } = await mezzo(['example', 'amp'], {}, folder);
  assert.equal(code, 0);
  const lines = [...stdout.matchAll(/^step (\d+): loss ([\d.]+), (\d+) tensors$/gm)].map((line) =>
    line.slice(1).map(Number),
  );
  assert.deepEqual(
    lines.map(([step]) => step),
    [0, 50, 100, 150, 200],
  );
  assert.ok(lines.at(-1)![1]! < lines[0]![1]! / 20);
  // Fewer, once the garbage of the beginning is collected; never more.
  assert.ok(lines.at(-1)![2]! <= lines[0]![2]!);
});

test('an example that is not there is named, and those that are', async () => {
  const { code, stderr } = await mezzo(['example', 'anp'], {}, folder);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /error: there is no example 'anp'; did you mean 'amp'\?\nhint: {2}examples: amp, train-detector\n/,
  );
});
