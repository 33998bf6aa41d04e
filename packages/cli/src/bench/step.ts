import { backends, setNumThreads } from '@mezzo/torch';
import type { BenchRow } from './report.ts';
import { SideProcess, withSide } from './side-process.ts';
import { type StepHarness, stepHarness } from './step-harness.ts';
import { alternate, row, type Suite } from './suite.ts';

const STEPS_A_ROUND = 3;
// The first step compiles.
const PEER_WARM_UP = 2;

/** Seconds of a training step (forward, loss, backward, clipping, SGD) of YOLOv8n. */
export const step: Suite = {
  name: 'step',
  about:
    'a training step of YOLOv8n: bf16 against fp32, fused kernels against separate operators, and the reference in Python',
  size: { imgsz: 320, batch: 8 },
  async run({ threads, peerPython, rounds, imgsz, batch, compile, note }) {
    setNumThreads(threads);
    const fp32 = stepHarness({ amp: 'fp32', channelsLast: false, imgsz, batch });
    const bf16 = stepHarness({ amp: 'bf16', channelsLast: true, imgsz, batch });
    const rows: BenchRow[] = [];
    const measure = (side: StepHarness) => () => side.run(STEPS_A_ROUND);
    note('bf16 against fp32');
    const sides = { a: 'fp32, default layout', b: 'bf16, channels_last' };
    rows.push(row('fp32 / bf16', 's', sides, await alternate(rounds, measure(fp32), measure(bf16))));
    note('fused kernels against separate operators');
    const kernels = (enabled: boolean) => () => withFusedKernels(enabled, () => bf16.run(STEPS_A_ROUND));
    const named = { a: 'bf16, fused kernels', b: 'bf16, separate operators' };
    rows.push(row('fused / separate', 's', named, await alternate(rounds, kernels(true), kernels(false))));
    if (peerPython === null) return rows;
    const pairs: [own: string, ours: StepHarness, mode: string][] = [
      ['fp32', fp32, 'fp32'],
      ['bf16-cl', bf16, 'bf16-cl'],
      ['bf16-cl', bf16, 'fp32'],
    ];
    if (compile) pairs.push(['bf16-cl', bf16, 'bf16-cl-compile']);
    for (const [own, ours, mode] of pairs) {
      note(`${own} against Python in ${mode}`);
      const args = ['--mode', mode, '--batch', batch, '--imgsz', imgsz, '--threads', threads].map(String);
      await withSide(SideProcess.python(peerPython, 'step.py', args), async (peer) => {
        await peer.measure(PEER_WARM_UP);
        const theirs = () => peer.measure(STEPS_A_ROUND);
        const named = { a: `Mezzo, ${own}`, b: `Ultralytics on torch, ${mode}` };
        const name = own === mode ? `Mezzo / Python, ${mode}` : `Mezzo, ${own} / Python, ${mode}`;
        rows.push(row(name, 's', named, await alternate(rounds, measure(ours), theirs)));
      });
    }
    return rows;
  },
};

function withFusedKernels<T>(enabled: boolean, work: () => T): T {
  const { fusedKernels } = backends;
  const before = fusedKernels.enabled;
  fusedKernels.enabled = enabled;
  try {
    return work();
  } finally {
    fusedKernels.enabled = before;
  }
}
