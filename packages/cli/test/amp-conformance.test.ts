import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './mezzo.ts';

/** Codes of the acceptance list: letter and how many. */
const CODES = { K: 4, U: 5, G: 20, D: 9, A: 13, C: 4, F: 3, Y: 12 } as const;

const STATES = ['proven', 'proven; CUDA part needs a GPU', 'needs a GPU', 'proven in part'];

const MOST_EXCEPTIONS = 12;

const page = readFileSync(join(ROOT, 'docs/amp-conformance.md'), 'utf8');

interface Row {
  code: string;
  behaviour: string;
  files: string[];
  state: string;
}

const rows: Row[] = [...page.matchAll(/^\| ([A-Z]\d+) \| (.+) \| (.+) \| (.+) \|$/gm)].map(
  ([, code, behaviour, files, state]) => ({
    code: code!,
    behaviour: behaviour!,
    files: [...files!.matchAll(/`([^`]+)`/g)].map(([, file]) => file!),
    state: state!,
  }),
);

/** Lines `- **CODE** reason` of the last section. */
const exceptions = [...page.matchAll(/^- \*\*([A-Z]\d+)\*\* (.+)$/gm)].map(([, code, reason]) => ({
  code: code!,
  reason,
}));

/** The file of a test that the page names as `package/name`. */
function fileOf(name: string): string {
  const [home, test] = name.split('/');
  return join(ROOT, 'packages', home!, 'test', `${test}.test.ts`);
}

test('the page lists every behaviour once, in order', () => {
  const expected = Object.entries(CODES).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, i) => `${letter}${i + 1}`),
  );
  assert.deepEqual(
    rows.map(({ code }) => code),
    expected,
  );
});

test('every listed file has a test whose name begins with the code', () => {
  for (const { code, files, state } of rows) {
    assert.ok(files.length > 0, `${code} names no test`);
    for (const name of files) {
      const file = fileOf(name);
      assert.ok(existsSync(file), `${code}: there is no ${file}`);
      const begins = new RegExp(`['"\`](?:[A-Z]\\d+,? )*${code}(?:[: ]|['"\`])`);
      assert.match(readFileSync(file, 'utf8'), begins, `${code}: no test in ${name} begins with it`);
    }
    assert.ok(STATES.includes(state), `${code}: unknown state '${state}'`);
  }
});

test('what does not apply is short, has reasons, and belongs to behaviours in part', () => {
  assert.ok(exceptions.length <= MOST_EXCEPTIONS, `${exceptions.length} lines`);
  const partial = new Set(rows.filter(({ state }) => state === 'proven in part').map(({ code }) => code));
  assert.deepEqual(new Set(exceptions.map(({ code }) => code)), partial);
});
