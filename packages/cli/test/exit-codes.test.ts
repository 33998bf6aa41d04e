import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '@mezzo/detect/config';
import { MezzoError, TorchError } from '@mezzo/libtorch/errors';
import { BAD_INPUT, exitCodeOf, reportFailure, UsageError } from '../src/failure.ts';
import { ROOT } from './mezzo.ts';
import { recordingTerminal } from './recording-terminal.ts';

test('bad input exits with 2, an interruption with 130, everything else with 1', () => {
  assert.equal(exitCodeOf(new UsageError('USAGE', 'no')), 2);
  assert.equal(exitCodeOf(new ConfigError('BAD_OPTION', 'no')), 2);
  assert.equal(exitCodeOf(new MezzoError('INTERRUPTED', 'no')), 130);
  assert.equal(exitCodeOf(new TorchError('OUT_OF_MEMORY', 'no')), 1);
  assert.equal(exitCodeOf(new Error('no')), 1);
  assert.equal(exitCodeOf('no'), 1);
});

test('a full disk and a folder without permission are told as such; anything else unknown as a defect', () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write 'a.jpg'"), { code: 'ENOSPC' });
  const terminal = recordingTerminal({ interactive: false });
  reportFailure(full, false, terminal);
  assert.equal(exitCodeOf(full), 2);
  assert.deepEqual(terminal.notes, [
    "error: ENOSPC: no space left on device, write 'a.jpg'",
    'hint:  free some space, or write to another disk',
  ]);
  reportFailure(full, true, terminal);
  reportFailure(new TypeError('x is no function'), true, terminal);
  assert.deepEqual(
    terminal.printed.map((line) => JSON.parse(line) as object),
    [
      {
        event: 'error',
        code: 'DISK_FULL',
        message: full.message,
        hint: 'free some space, or write to another disk',
      },
      { event: 'error', code: 'INTERNAL', message: 'x is no function' },
    ],
  );
  assert.equal(terminal.notes[2], 'error: this is a defect of Mezzo, please report it');
  assert.match(terminal.notes[3]!, /^TypeError: x is no function\n {4}at /);
});

/** Codes of this layer and the one below that are no fault of the input. */
const FAILURES = [
  'RANK_LOST',
  'EXPORT_MISMATCH',
  'NON_FINITE',
  'OUT_OF_MEMORY',
  'BAD_PREDICTION',
  'UNKNOWN_IMAGE',
  'DEMO_MAP',
  'EXAMPLE_FAILED',
  'PEER_FAILED',
  'INTERRUPTED',
];

test('every code that detect and cli throw is known to be bad input or a failure', () => {
  const thrown = new Set<string>();
  for (const name of ['detect', 'cli']) {
    const folder = join(ROOT, 'packages', name, 'src');
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts')) continue;
      const text = readFileSync(join(folder, file), 'utf8');
      for (const [, code] of text.matchAll(/(?:new \w*Error|super)\(\s*'([A-Z][A-Z0-9_]+)'/g))
        thrown.add(code!);
      for (const [, codes] of text.matchAll(/ErrorCode =([^;]+);/g)) {
        for (const [, code] of codes!.matchAll(/'([A-Z][A-Z0-9_]+)'/g)) thrown.add(code!);
      }
    }
  }
  assert.ok(thrown.size > 20);
  const unknown = [...thrown].filter((code) => !BAD_INPUT.has(code) && !FAILURES.includes(code));
  assert.deepEqual(unknown, []);
});
