import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { autocast, GradScaler, manualSeed, nn, optim, randn, scope, setNumThreads } from '@mezzo/torch';
import { type LossReading, type SwingFinding, startSwings, watchSwings } from '../src/index.ts';

setNumThreads(1);

type Reading = Partial<LossReading> & { loss: number };

/** Everything that is said of a series of losses, each after one more window. */
function follow(readings: readonly Reading[]): SwingFinding[] {
  let state = startSwings();
  return readings.flatMap((each, i) => {
    const reading = { window: i + 1, skipped: 0, scale: 65536, computed: false, lr: 0.01, ...each };
    const next = watchSwings(state, reading);
    // What a checkpoint keeps is enough to go on.
    state = JSON.parse(JSON.stringify(next.state)) as typeof state;
    return next.finding === null ? [] : [next.finding];
  });
}

const losses = (values: readonly number[]): Reading[] => values.map((loss) => ({ loss }));
const LATER = 'amp=bf16 needs no loss scale where the device has it';
const SCALE =
  'a first loss scale from 2^14 to 2^16 (init_scale=16384 or 65536), or scaler=computed, which measures it';
const SLOWER = 'lower lr0 or lengthen warmup_epochs';

test('recorded beginnings of sound trainings are told nothing', () => {
  const file = path.join(import.meta.dirname, '..', '..', 'test', 'fixtures', 'early-losses.json');
  const { runs } = JSON.parse(readFileSync(file, 'utf8')) as {
    runs: { name: string; losses: number[] }[];
  };
  assert.equal(runs.length, 3);
  for (const run of runs) assert.deepEqual(follow(losses(run.losses)), [], run.name);
});

test('a training in fp16 whose steps are far too long swings, and is told once that the scale is not the cause', () => {
  manualSeed(0);
  const model = new nn.Linear(8, 8, { bias: false });
  const optimizer = new optim.SGD(model.parameters(), { lr: 1.2, momentum: 0.95 });
  const scaler = new GradScaler({ device: 'cpu', initScale: 1024 });
  const input = randn([64, 8]);
  const readings: Reading[] = [];
  for (let step = 0; step < 80; step++) {
    scope(() => {
      const loss = autocast({ device: 'cpu', dtype: 'float16' }, () => model.forward(input))
        .float()
        .square()
        .mean();
      optimizer.zeroGrad();
      scaler.scale(loss).backward();
      scaler.step(optimizer);
      scaler.update();
      readings.push({ loss: Number(loss.item()), scale: scaler.getScale(), lr: 1.2 });
    });
  }
  const [finding, ...more] = follow(readings);
  assert.deepEqual(more, []);
  assert.match(
    finding!.text,
    /^the loss swings: it turned 4 times by a factor of 2 or more in steps \d+ to \d+, between [\d.e-]+ and [\d.e-]+$/,
  );
  assert.equal(finding!.because, 'no step was left out under a loss scale of 1024; the learning rate is 1.2');
  assert.deepEqual(finding!.remedies, [SLOWER, SCALE, LATER]);
});

const swinging = (step: number): number => (Math.floor(step / 5) % 2 === 0 ? 12 : 3);

test('steps that were left out make the scale the likeliest cause', () => {
  const readings = Array.from({ length: 40 }, (_, i) => ({
    loss: swinging(i),
    scale: 2 ** Math.max(14, 22 - i),
    skipped: Math.min(i, 8),
  }));
  assert.deepEqual(follow(readings), [
    {
      code: 'LOSS_SWINGS',
      window: 26,
      text: 'the loss swings: it turned 4 times by a factor of 2 or more in steps 11 to 26, between 3.00 and 12.0',
      because: '8 of the first 26 steps were left out, under loss scales up to 4194304',
      remedies: [SCALE, SLOWER, LATER],
    },
  ]);
  const computed = follow(readings.map((reading) => ({ ...reading, computed: true })));
  assert.deepEqual(computed[0]!.remedies, [SLOWER, LATER]);
});

test('a fall, a plateau with one spike, slow waves and what comes later are no swings', () => {
  const fall = Array.from({ length: 200 }, (_, i) => 20 * 0.97 ** i);
  const spike = Array.from({ length: 200 }, (_, i) => (i === 50 ? 90 : 9));
  const waves = Array.from({ length: 290 }, (_, i) => (Math.floor(i / 40) % 2 === 0 ? 12 : 3));
  const later = [
    ...Array.from({ length: 300 }, () => 9),
    ...Array.from({ length: 60 }, (_, i) => swinging(i)),
  ];
  for (const series of [fall, spike, waves, later]) assert.deepEqual(follow(losses(series)), []);
  assert.deepEqual(follow(losses([Number.NaN, Number.POSITIVE_INFINITY, 0, 9])), []);
});
