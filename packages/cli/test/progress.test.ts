import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clock, counted, decimalBytes, general, gibibytes, grouped } from '../src/number-format.ts';
import { ProgressBar, progressLine } from '../src/progress.ts';
import { recordingTerminal } from './recording-terminal.ts';

test("numbers as C's %g writes them", () => {
  for (const [value, digits, text] of [
    [0, 4, '0'],
    [1.23456, 4, '1.235'],
    [1.5, 4, '1.5'],
    [12345.678, 4, '1.235e+04'],
    [9999.6, 4, '1e+04'],
    [0.00012345, 4, '0.0001234'],
    [0.000012345, 4, '1.234e-05'],
    [-2, 4, '-2'],
    [65536, 6, '65536'],
    [Number.NaN, 4, 'nan'],
    [Number.NEGATIVE_INFINITY, 4, '-inf'],
  ] as const) {
    assert.equal(general(value, digits), text);
  }
});

test('sizes, times and counts', () => {
  assert.equal(gibibytes(2.31 * 2 ** 30), '2.31G');
  assert.deepEqual([0, 999, 1500, 41_000_000, 999_600_000, 1.24e9].map(decimalBytes), [
    '0 B',
    '999 B',
    '1.5 kB',
    '41 MB',
    '1.0 GB',
    '1.2 GB',
  ]);
  assert.deepEqual([0, 7.4, 754, 3723, Number.POSITIVE_INFINITY].map(clock), [
    '00:00',
    '00:07',
    '12:34',
    '1:02:03',
    '??:??',
  ]);
  assert.deepEqual([5, 3011043].map(grouped), ['5', '3,011,043']);
  assert.deepEqual(
    [counted(1, 'class', 'classes'), counted(2, 'class', 'classes')],
    ['1 class', '2 classes'],
  );
});

test('the progress line', () => {
  assert.equal(progressLine('train', 9, 20, 3), 'train:  45%|████▌     | 9/20 [00:03<00:04, 3.0it/s]');
  assert.equal(progressLine('', 1, 4, 8), ' 25%|██▌       | 1/4 [00:08<00:24, 8.0s/it]');
  assert.equal(progressLine('a', 0, 4, 0, { unit: 'MB' }), 'a:   0%|          | 0/4 [00:00<?, 0.0MB/s]');
  assert.equal(progressLine('a', 4, 4, 2), 'a: 100%|██████████| 4/4 [00:02<00:00, 2.0it/s]');
  const rate = '48.1img/s, wait 3%';
  assert.equal(
    progressLine('a', 9, 20, 3, { rate, form: 'plain' }),
    'a:  45% 9/20 [00:03<00:04, 48.1img/s, wait 3%]',
  );
  assert.equal(progressLine('a', 9, 20, 3, { rate, form: 'short' }), 'a:  45% <00:04, 48.1img/s, wait 3%');
});

test('the bar redraws at most ten times a second, and always at the end', () => {
  const terminal = recordingTerminal({ interactive: true });
  const bar = new ProgressBar(terminal, 'it', 0);
  for (let step = 1; step <= 100; step++) bar.update('a', step, 100, step * 10);
  bar.finish();
  assert.equal(terminal.statuses.length, 11);
  assert.equal(terminal.statuses.at(-1), 'a: 100%|██████████| 100/100 [00:01<00:00, 100.0it/s]');
});
