import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { OPTIONS } from '../src/config/index.ts';

const SOURCES = new URL('../../src/', import.meta.url);

/** The code of the package without its option table and without comments. */
function code(): string {
  return readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('config/'))
    .map((name) => readFileSync(new URL(name, SOURCES), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ''))
    .join('\n');
}

test('every option that is not refused is read by some code: none is silently ignored', () => {
  const text = code();
  const unread = Object.entries(OPTIONS).filter(([name, option]) => {
    // An option with one choice has nothing to say yet; source is an argument of predict.
    if (option.refused !== undefined || option.choices?.length === 1 || name === 'source') return false;
    return !new RegExp(`\\.${name}\\b|\\b${name}\\b\\s*[,}:]|'${name}'`).test(text);
  });
  assert.deepEqual(
    unread.map(([name]) => name),
    [],
  );
});
