import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FuseRun, fuseTable, gainLines } from '../src/demo/fuse-table.ts';
import { keepOutcome, keptOutcome } from '../src/demo/kept-outcome.ts';
import { mezzo } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-demo-fuse-'));
after(() => rmSync(folder, { recursive: true }));

test('demo fuse trains six networks on the same pairs, and another that can do without infrared', async () => {
  const words = [
    'demo',
    'fuse',
    'pairs=10',
    'preset=clear-ir',
    'imgsz=64',
    'batch=4',
    'epochs=1',
    'dropout=0.5',
    '--out',
    'fuse',
  ];
  const { code, stdout, stderr } = await mezzo([...words, '--json'], { OMP_NUM_THREADS: '1' }, folder);
  assert.equal(code, 0, stderr);
  const { preset, data, runs } = JSON.parse(stdout) as { preset: string; data: string; runs: FuseRun[] };
  // Runs of another preset stay beside these.
  assert.deepEqual(
    [preset, data, runs[0]!.saved],
    [
      'clear-ir',
      join('fuse', 'clear-ir-64px-10-seed0', 'data.yaml'),
      [join(folder, 'fuse', 'clear-ir-rgb-seed0')],
    ],
  );
  assert.deepEqual(
    runs.map(({ name, outcomes, saved }) => [name, outcomes.length, outcomes[0]!.params, saved.length]),
    [
      ['RGB only', 1, 2590230, 1],
      ['IR only', 1, 2590230, 1],
      ['early', 1, 1935830, 1],
      ['mid', 1, 1185126, 1],
      ['decision', 1, 5180444, 1],
      ['mid, fp32', 1, 1185126, 1],
      ['mid, dropout 0.5', 1, 1185126, 1],
      ['mid, dropout 0.5, no IR', 1, 1185126, 1],
    ],
  );
  for (const { saved } of runs) assert.ok(existsSync(join(saved[0]!, 'results.png')), saved[0]);
  const peak = (name: string) => runs.find((run) => run.name === name)!.outcomes[0]!.peakBytes;
  assert.ok(
    Math.abs(peak('RGB only') / peak('IR only') - 1) < 0.25,
    'no run counts what the one before left',
  );

  // As after an interruption: what is finished is not trained again, another number of epochs is another story.
  const last = join(runs.at(-1)!.saved[0]!, 'outcome.json');
  rmSync(last);
  const again = await mezzo([...words, '--json'], { OMP_NUM_THREADS: '1' }, folder);
  assert.equal(again.code, 0, again.stderr);
  const kept = again.stderr.split('\n').filter((line) => line.includes(': trained before, '));
  assert.deepEqual(
    kept,
    runs.slice(0, 6).map(({ name, saved }) => `${name}: trained before, ${saved[0]}`),
  );
  const repeated = (JSON.parse(again.stdout) as { runs: FuseRun[] }).runs;
  assert.deepEqual(repeated.slice(0, 6), runs.slice(0, 6));
  assert.equal(repeated[6]!.outcomes[0]!.map50, runs[6]!.outcomes[0]!.map50);
});

test('an outcome counts for the options that it was found with', () => {
  const kept = join(folder, 'kept');
  mkdirSync(kept);
  keepOutcome(kept, { options: { epochs: 1, seed: 0 }, outcome: 0.5 });
  assert.equal(keptOutcome(kept, { epochs: 1, seed: 0 }), 0.5);
  assert.equal(keptOutcome(kept, { epochs: 2, seed: 0 }), undefined);
  assert.equal(keptOutcome(folder, { epochs: 1, seed: 0 }), undefined);
});

const run = (name: string, map50s: readonly number[], dtype = 'bfloat16'): FuseRun => ({
  name,
  saved: [],
  outcomes: map50s.map((map50) => ({
    ...{ map50, map: map50 / 2, epochSeconds: dtype === 'float32' ? 2 : 1, peakBytes: 4e8, skipped: 0 },
    ...{ scale: null, params: 1185126, gflops: 0.2, dtype },
  })),
});

test('the table has means and spreads over the seeds, and says what mid gains', () => {
  const runs = [
    run('RGB only', [0.3]),
    run('IR only', [0.5]),
    run('mid', [0.55]),
    run('mid, fp32', [0.56], 'float32'),
  ];
  assert.deepEqual(fuseTable(runs.slice(2), 160), [
    '           precision  parameters  GFLOPs at 160  mAP50  mAP50-95  time per epoch  peak memory',
    'mid         bfloat16   1,185,126           0.20  0.550     0.275          1.00 s       400 MB',
    'mid, fp32    float32   1,185,126           0.20  0.560     0.280          2.00 s       400 MB',
  ]);
  assert.match(fuseTable([run('mid', [0.5, 0.6])], 160)[1]!, / 0\.550 \(0\.500 to 0\.600\) /);
  assert.deepEqual(gainLines(runs), [
    'mid beside RGB only: +25.0 points of mAP50; beside IR only: +5.0',
    'mid with AMP beside fp32: -1.0 points, time 0.50x, memory 1.00x',
  ]);
});

test('another word is no demo', async () => {
  assert.deepEqual(await mezzo(['demo', 'fusion'], {}, folder), {
    code: 2,
    stdout: '',
    stderr: "error: there is no demo 'fusion'\nhint:  mezzo demo, or mezzo demo fuse\n",
  });
});
