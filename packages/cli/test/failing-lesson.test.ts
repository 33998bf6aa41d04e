import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MezzoError } from '@mezzo/libtorch/errors';
import { runLessons } from '../src/example/run-lessons.ts';
import { recordingTerminal } from './recording-terminal.ts';

const FAILING = 'test/failing-lesson';
const settings = { seeds: [0], device: 'cpu', dtype: 'bf16', out: null } as const;
const THROWN = `${FAILING} in float32, seed 0: Error: the pictures are gone`;

test('a lesson that throws has its error in the document, and the others go on', async () => {
  const terminal = recordingTerminal({ interactive: false });
  assert.equal(await runLessons([FAILING, 'regression'], settings, { json: true, terminal }), 1);
  const { passed, examples } = JSON.parse(terminal.printed.join('\n')) as {
    passed: boolean;
    examples: [{ error: { message: string } }, { name: string; passed: boolean }];
  };
  const [failed, regression] = examples;
  const { message } = failed.error;
  assert.deepEqual(failed, { name: FAILING, passed: false, error: { code: 'EXAMPLE_FAILED', message } });
  assert.equal(message.split('\n')[0], THROWN);
  assert.deepEqual([passed, regression.name, regression.passed], [false, 'regression', true]);
  assert.deepEqual(terminal.notes, [`error: ${message}`]);
});

test('the error of an only lesson is thrown', async () => {
  const terminal = recordingTerminal({ interactive: false });
  await assert.rejects(runLessons([FAILING], settings, { json: false, terminal }), (error) => {
    assert.ok(error instanceof MezzoError);
    assert.deepEqual([error.code, error.message.split('\n')[0]], ['EXAMPLE_FAILED', THROWN]);
    return true;
  });
});
