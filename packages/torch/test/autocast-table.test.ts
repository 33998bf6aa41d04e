import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { autocast, MezzoError, scope } from '../src/index.ts';
import { CALLS, type Call, operands } from './autocast-calls.ts';
import { fixture } from './fixture.ts';

type Row = { op: string; group: string } & Record<string, string>;

const { rows } = fixture<{ rows: Row[] }>('autocast_ops.json');

/** Rows whose operator is not part of LibTorch. */
const ELSEWHERE: Record<string, string> = { torchvision_nms_keep: 'torchvision::nms comes with torchvision' };

/** Rows whose kernels for low precision came with LibTorch 2.15, where the table was recorded: outside, others differ. */
const NEW_KERNELS = ['linalg_inv', 'trace', 'fft_rfft'];
const recordedHere = native().buildInfo().version.startsWith('2.15.');

/** Python's exception class of LibTorch's errors; all others are RuntimeError. */
const PYTHON_CLASS: Record<string, string> = { NOT_IMPLEMENTED: 'NotImplementedError', INDEX: 'IndexError' };

/** The result's dtype, or 'error:<Python class>:<text>'. */
function outcome(run: () => string): string {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof MezzoError)) throw error;
    return `error:${PYTHON_CLASS[error.code] ?? 'RuntimeError'}:${error.message}`;
  }
}

const resultDType = (call: Call, low: 'bfloat16' | 'float16', input: 'f32_in' | 'low_in') =>
  scope(() => call(operands(low, input)).dtype);

/** The table cuts error texts at 120 characters and keeps only the class outside autocast. */
function assertOutcome(actual: string, expected: string, what: string): void {
  if (!expected.startsWith('error:')) assert.equal(actual, expected, what);
  else assert.ok(actual.startsWith(expected), `${what}: ${actual}\n  expected ${expected}`);
}

test('every row of the table has a call, except operators that are not in LibTorch', () => {
  const missing = rows.map((row) => row.op).filter((name) => CALLS[name] === undefined);
  assert.deepEqual(missing, Object.keys(ELSEWHERE));
  assert.equal(Object.keys(CALLS).length, rows.length - missing.length);
});

for (const low of ['bfloat16', 'float16'] as const) {
  for (const input of ['f32_in', 'low_in'] as const) {
    const column = `${low}|${input}`;
    describe(`dtypes of results under autocast on the CPU: ${column}`, () => {
      for (const row of rows.filter(({ op }) => ELSEWHERE[op] === undefined)) {
        test(`A7: ${row.op}`, () => {
          const call = CALLS[row.op]!;
          const inside = outcome(() =>
            autocast({ device: 'cpu', dtype: low }, () => resultDType(call, low, input)),
          );
          assertOutcome(inside, row[column]!, 'inside');
          if (!recordedHere && NEW_KERNELS.includes(row.op)) return;
          assertOutcome(
            outcome(() => resultDType(call, low, input)),
            row[`${column}|no_autocast`]!,
            'outside',
          );
        });
      }
    });
  }
}
