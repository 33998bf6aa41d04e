import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { largestFitting } from '../src/bench/batch-search.ts';
import { type BenchReport, reportName, reportTarget } from '../src/bench/report.ts';
import { row, spreadOf } from '../src/bench/suite.ts';
import { runProgram } from '../src/program.ts';
import { recordingTerminal } from './recording-terminal.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-bench-'));
after(() => rmSync(folder, { recursive: true }));

const sides = { a: 'x', b: 'y' };
const BEFORE: BenchReport = {
  suite: 'step',
  machine: {
    cpu: 'Intel(R) Xeon(R) Processor',
    cores: 2,
    memory: 24e9,
    node: 'v20.20.2',
    libtorch: '2.15.0',
    threads: 2,
  },
  date: '2026-11-22T16:40:54.483Z',
  rows: [
    row('kept', 's', sides, { a: [4], b: [2] }),
    row('gone', 's', sides, { a: [1], b: [1] }),
    row('in other units', 's', sides, { a: [1], b: [1] }),
  ],
};
const AFTER: BenchReport = {
  ...BEFORE,
  machine: { ...BEFORE.machine, memory: 48e9, threads: 4, gpu: 'NVIDIA H200' },
  date: '2026-11-23T10:00:00.000Z',
  rows: [
    row('kept', 's', sides, { a: [1], b: [2] }),
    row('in other units', 'bytes', sides, { a: [1], b: [1] }),
    row('new', 's', sides, { a: [1], b: [1] }),
  ],
};

function written(name: string, content: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}
const before = written('before.json', BEFORE);
const later = written('after.json', AFTER);

async function bench(...words: string[]) {
  const terminal = recordingTerminal({ interactive: false });
  const code = await runProgram(['bench', ...words], terminal);
  return { code, printed: terminal.printed, notes: terminal.notes };
}

test('compare: second / first of each side and of the ratios, and what else differs', async () => {
  const lines = [
    'step: 2026-11-23T10:00:00.000Z / 2026-11-22T16:40:54.483Z',
    'other memory: 48 GB instead of 24 GB',
    'other threads: 4 instead of 2',
    'other gpu: NVIDIA H200 instead of none',
    'kept  a 0.25  b 1  a/b 0.25',
    'only in the first: gone',
    'only in the first: in other units',
    'only in the second: in other units',
    'only in the second: new',
  ];
  for (const words of [
    ['--compare', before, later],
    ['compare', before, later],
  ]) {
    assert.deepEqual(await bench(...words), { code: 0, printed: lines, notes: [] });
  }
  const { printed } = await bench('compare', before, later, '--json');
  assert.deepEqual(JSON.parse(printed.join('')), {
    suite: 'step',
    dates: { first: BEFORE.date, second: AFTER.date },
    machine: [
      { name: 'memory', first: 24e9, second: 48e9 },
      { name: 'threads', first: 2, second: 4 },
      { name: 'gpu', first: null, second: 'NVIDIA H200' },
    ],
    rows: [{ name: 'kept', unit: 's', a: 0.25, b: 1, ratio: 0.25 }],
    only: { first: ['gone', 'in other units'], second: ['in other units', 'new'] },
  });
});

test('compare refuses what is no report, and reports of two suites', async () => {
  const none = join(folder, 'none.json');
  const hint = 'hint:  mezzo bench SUITE --out FILE writes one';
  for (const [words, notes] of [
    [
      [before],
      ['error: mezzo bench --compare takes two reports', 'hint:  mezzo bench --compare A.json B.json'],
    ],
    [[before, none], [`error: there is no file ${none}`]],
    [[before, folder], [`error: ${folder} cannot be read: EISDIR: illegal operation on a directory, read`]],
    [
      [written('text.json', 'no'), before],
      [`error: ${join(folder, 'text.json')} is no JSON`, hint],
    ],
    ...[null, [], { suite: 'step' }, { ...BEFORE, rows: [{ name: 'x' }] }].map(
      (content, i) =>
        [
          [before, written(`wrong${i}.json`, content)],
          [`error: ${join(folder, `wrong${i}.json`)} is no report of a benchmark`, hint],
        ] as const,
    ),
    [
      [before, written('memory.json', { ...AFTER, suite: 'memory' })],
      ['error: reports of two suites, step and memory', 'hint:  give two reports of the same suite'],
    ],
  ] as const) {
    assert.deepEqual(await bench('compare', ...words), { code: 2, printed: [], notes });
  }
});

test('wrong usage is told before anything is measured', async () => {
  const suites = 'overhead, step, epoch, loader, memory, infer, startup, amp, gpu';
  for (const words of [[], ['nothing'], ['constructor'], ['step', 'infer']]) {
    assert.deepEqual(await bench(...words), {
      code: 2,
      printed: [],
      notes: [`error: mezzo bench runs one suite: ${suites}`],
    });
  }
  const out = join(folder, 'none', 'report.json');
  assert.deepEqual(await bench('step', `out=${out}`), {
    code: 2,
    printed: [],
    notes: [
      `error: out=${out}: there is no folder ${join(folder, 'none')}`,
      'hint:  make it, or end out= with / to have the folder made and the file named',
    ],
  });
});

test('a report is named by date, machine and suite', () => {
  const named = (cpu: string, cores: number, gpu?: string) =>
    reportName({ ...BEFORE, machine: { ...BEFORE.machine, cpu, cores, ...(gpu ? { gpu } : {}) } });
  assert.equal(named('Intel(R) Xeon(R) Processor', 2), '2026-11-22-xeon-2-cores-step.json');
  assert.equal(
    named('Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz', 16, 'NVIDIA H200'),
    '2026-11-22-xeon-platinum-8481c-16-cores-h200-step.json',
  );
  assert.equal(named('AMD EPYC 7B13 64-Core Processor', 1), '2026-11-22-epyc-7b13-1-core-step.json');
  assert.equal(named('', 4), '2026-11-22-cpu-4-cores-step.json');

  const results = join(folder, 'results');
  assert.equal(reportTarget(`${results}/`)(BEFORE), join(results, '2026-11-22-xeon-2-cores-step.json'));
  assert.ok(existsSync(results));
  assert.equal(reportTarget(results)(AFTER), join(results, '2026-11-23-xeon-2-cores-h200-step.json'));
  assert.equal(reportTarget(join(results, 'my.json'))(BEFORE), join(results, 'my.json'));
});

test('a row has the medians, their ratio, and how far the quartiles lie apart', () => {
  const { a, b, ratio, spread } = row('x', 's', sides, { a: [3, 1, 2, 4, 5], b: [2] });
  assert.deepEqual({ a, b, ratio, spread }, { a: 3, b: 2, ratio: 1.5, spread: { a: 2 / 3, b: 0 } });
  assert.equal(spreadOf([1, 2, 3, 4]), 2 / 2.5);
  assert.equal(spreadOf([0, 0]), 0);
});

test('the largest batch that fits is found from any guess, and nothing far too large is tried', () => {
  for (const largest of [0, 1, 2, 15, 16, 17, 100, 4096]) {
    for (const guess of [1, 16, 64]) {
      const tried: number[] = [];
      const fits = (count: number) => {
        tried.push(count);
        return count <= largest;
      };
      assert.equal(largestFitting(fits, guess, 4096), largest);
      assert.equal(new Set(tried).size, tried.length);
      assert.ok(Math.max(...tried) <= Math.max(guess, 2 * largest));
    }
  }
  assert.equal(
    largestFitting(() => true, 16, 40),
    40,
  );
});
