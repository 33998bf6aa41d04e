import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { mezzo, ROOT, run } from './mezzo.ts';

const folder = mkdtempSync(join(tmpdir(), 'mezzo-torchrun-'));
const found = (process.env.PATH ?? '').split(delimiter).some((place) => existsSync(join(place, 'torchrun')));
const skip = found ? false : 'there is no torchrun on PATH';

before(async () => {
  const { code } = await mezzo(
    ['data', 'shapes', '--out', 'shapes', 'train=8', 'val=2', 'imgsz=64'],
    {},
    folder,
  );
  assert.equal(code, 0);
});
after(() => rmSync(folder, { recursive: true }));

test('under a real torchrun: its two processes are the ranks, and a second start finds the run finished', {
  skip,
}, async () => {
  const words = [
    'data=shapes/data.yaml',
    'imgsz=64',
    'batch=4',
    'epochs=2',
    'workers=0',
    'plots=false',
    'amp=false',
    'name=two',
    '--json',
  ];
  const start = () => run(`${ROOT}examples/distributed/torchrun.sh`, words, { OMP_NUM_THREADS: '1' }, folder);
  const { code, stdout } = await start();
  assert.equal(code, 0);
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    events.map(({ event, epoch }) => [event, epoch]),
    [
      ['start', undefined],
      ['epoch', 1],
      ['epoch', 2],
      ['done', undefined],
    ],
  );
  assert.equal(events[0]!.ranks, 2);
  assert.equal(events[0]!.saveDir, join(folder, 'runs', 'detect', 'two'));
  const again = await start();
  assert.notEqual(again.code, 0);
  assert.match(again.stderr + again.stdout, /this training is finished, there is nothing to resume/);
});
