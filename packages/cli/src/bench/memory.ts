import { memory, setNumThreads } from '@mezzo/torch';
import { stepHarness } from './step-harness.ts';
import { type BenchRow, row, type Suite } from './suite.ts';

const STEPS = 200;

/** Tensor memory of a training step, and whether it grows. */
export const memorySuite: Suite = {
  name: 'memory',
  about: 'peak tensor bytes of a bf16 step against fp32, and growth over 200 steps',
  async run({ threads, imgsz, batch, note }) {
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
    return rows;
  },
};
