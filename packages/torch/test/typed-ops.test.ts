import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { typedOpsSource } from '../src/ops/generate.ts';
import { overloadsOf } from '../src/ops/registry.ts';

const SOURCES = new URL('../../src/', import.meta.url);
const committed = readFileSync(new URL('ops/aten.generated.ts', SOURCES), 'utf8');
const versionOf = (text: string) => /schemas of LibTorch (\S+);/.exec(text)?.[1];
const generatedFor = versionOf(committed);
const loaded = native().buildInfo().version.replace(/\+.*/, '');

// Of another LibTorch only the ops that the library names are promised: the test below.
if (loaded === generatedFor) {
  test('the typed ops are what the schemas of this LibTorch give', () => {
    assert.ok(typedOpsSource() === committed, 'run node dist/src/ops/generate.js and commit the result');
  });
}

test('every op that the library names exists in this LibTorch', () => {
  const missing: string[] = [];
  for (const file of readdirSync(SOURCES, { recursive: true }) as string[]) {
    if (!file.endsWith('.ts') || file.endsWith('.generated.ts')) continue;
    const text = readFileSync(new URL(file, SOURCES), 'utf8');
    for (const [, name, overload] of text.matchAll(/\bop(?:<[^(]*>)?\(\s*'(\w+::\w+)'(?:,\s*'(\w*)')?/g)) {
      const overloads = overloadsOf(name!);
      const known = overload === undefined ? overloads.length > 0 : overloads.includes(overload);
      if (!known) missing.push(`${file}: ${name}${overload ? `.${overload}` : ''}`);
    }
  }
  assert.deepEqual(missing, []);
});
