import { backends, setNumThreads } from '@mezzo/torch';
import { Peer } from './peer.ts';
import { type StepHarness, stepHarness } from './step-harness.ts';
import { alternate, type BenchRow, row, type Suite } from './suite.ts';

const STEPS_A_ROUND = 3;

/** Seconds of a training step (forward, loss, backward, clipping, SGD) of YOLOv8n. */
export const step: Suite = {
  name: 'step',
  about:
    'a training step of YOLOv8n: bf16 against fp32, fused kernels against separate operators, and the reference in Python',
  async run({ threads, peerPython, rounds, imgsz, batch, note }) {
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
    const pairs = [
      ['fp32', fp32, 'fp32'],
      ['bf16-cl', bf16, 'bf16-cl'],
      ['bf16-cl', bf16, 'fp32'],
    ] as const;
    for (const [own, ours, mode] of pairs) {
      note(`${own} against Python in ${mode}`);
      const args = ['--mode', mode, '--batch', batch, '--imgsz', imgsz, '--threads', threads].map(String);
      const peer = await Peer.start(peerPython, 'step.py', args);
      await peer.measure(2);
      const theirs = () => peer.measure(STEPS_A_ROUND);
      const named = { a: `Mezzo, ${own}`, b: `Ultralytics on torch, ${mode}` };
      const name = own === mode ? `Mezzo / Python, ${mode}` : `Mezzo, ${own} / Python, ${mode}`;
      rows.push(row(name, 's', named, await alternate(rounds, measure(ours), theirs)));
      peer.stop();
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
