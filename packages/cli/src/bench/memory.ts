import { memory, setNumThreads } from '@mezzo/torch';
import type { BenchRow } from './report.ts';
import { SideProcess, withSide } from './side-process.ts';
import { stepHarness } from './step-harness.ts';
import { alternate, type BenchOptions, row, type Suite } from './suite.ts';

const STEPS = 200;
/** Steps during which resident memory is watched: what the first ones allocate for good is in it. */
const WATCHED_STEPS = 3;

/** Memory of a training step, and whether it grows. */
export const memorySuite: Suite = {
  name: 'memory',
  about: 'peak memory of a bf16 step against fp32, against the reference, and growth over 200 steps',
  size: { imgsz: 320, batch: 8 },
  async run(options) {
    const { threads, imgsz, batch, note } = options;
    setNumThreads(threads);
    const rows: BenchRow[] = [];
    const peaks: number[] = [];
    for (const [amp, channelsLast] of [
      ['bf16', true],
      ['fp32', false],
    ] as const) {
      // What an earlier model still holds is not this one's.
      const others = memory.stats().liveBytes;
      const harness = stepHarness({ amp, channelsLast, imgsz, batch });
      peaks.push(harness.peakBytes() - others);
      if (amp === 'fp32') continue;
      note(`${STEPS} steps`);
      const before = harness.live();
      harness.run(STEPS);
      const after = harness.live();
      const sides = { a: `after ${STEPS} steps`, b: 'before' };
      rows.push(row('live tensors', 'tensors', sides, { a: [after.tensors], b: [before.tensors] }));
      rows.push(row('live bytes', 'bytes', sides, { a: [after.bytes], b: [before.bytes] }));
    }
    const [bf16, fp32] = peaks as [number, number];
    rows.unshift(row('peak bytes of a step', 'bytes', { a: 'bf16', b: 'fp32' }, { a: [bf16], b: [fp32] }));
    return [...rows, ...(await residentRows(options))];
  },
};

type Process = () => Promise<number[]>;

/** Peak resident bytes over those before the first step; every measurement is a fresh process. */
async function residentRows({
  threads,
  peerPython,
  rounds,
  imgsz,
  batch,
  note,
}: BenchOptions): Promise<BenchRow[]> {
  const ours =
    (amp: 'bf16' | 'fp32'): Process =>
    () => {
      const settings = { amp, channelsLast: amp === 'bf16', imgsz, batch };
      return withSide(SideProcess.node('resident-side.js', settings, threads), (side) =>
        side.measure(WATCHED_STEPS),
      );
    };
  const pairs: [a: string, b: string, a: Process, b: Process][] = [
    ['Mezzo, bf16', 'Mezzo, fp32', ours('bf16'), ours('fp32')],
  ];
  if (peerPython !== null) {
    const args = ['--rss', '--mode', 'fp32', '--batch', batch, '--imgsz', imgsz, '--threads', threads];
    const theirs = () =>
      withSide(SideProcess.python(peerPython, 'step.py', args.map(String)), (side) =>
        side.measure(WATCHED_STEPS),
      );
    pairs.push(
      ['Mezzo, bf16', 'Ultralytics on torch, fp32', ours('bf16'), theirs],
      ['Mezzo, fp32', 'Ultralytics on torch, fp32', ours('fp32'), theirs],
    );
  }
  const rows: BenchRow[] = [];
  for (const [a, b, measureA, measureB] of pairs) {
    note(`resident memory: ${a} against ${b}`);
    const samples = await alternate(rounds, measureA, measureB);
    rows.push(row(`resident: ${a} / ${b}`, 'bytes', { a, b }, samples));
  }
  return rows;
}
