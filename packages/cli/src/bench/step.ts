import { setNumThreads } from '@mezzo/torch';
import { Peer } from './peer.ts';
import { type StepHarness, stepHarness } from './step-harness.ts';
import { alternate, type BenchRow, row, type Suite } from './suite.ts';

const STEPS_A_ROUND = 3;

/** Seconds of a training step (forward, loss, backward, clipping, SGD) of YOLOv8n. */
export const step: Suite = {
  name: 'step',
  about: 'a training step of YOLOv8n: bf16 against fp32, and both against the reference in Python',
  async run({ threads, peerPython, rounds, imgsz, batch, note }) {
    setNumThreads(threads);
    const fp32 = stepHarness({ amp: 'fp32', channelsLast: false, imgsz, batch });
    const bf16 = stepHarness({ amp: 'bf16', channelsLast: true, imgsz, batch });
    const rows: BenchRow[] = [];
    const measure = (side: StepHarness) => () => side.run(STEPS_A_ROUND);
    note('bf16 against fp32');
    const sides = { a: 'fp32, default layout', b: 'bf16, channels_last' };
    rows.push(row('fp32 / bf16', 's', sides, await alternate(rounds, measure(fp32), measure(bf16))));
    if (peerPython === null) return rows;
    const modes = [
      ['fp32', fp32],
      ['bf16-cl', bf16],
    ] as const;
    for (const [mode, ours] of modes) {
      note(`${mode} against Python`);
      const args = ['--mode', mode, '--batch', batch, '--imgsz', imgsz, '--threads', threads].map(String);
      const peer = await Peer.start(peerPython, 'step.py', args);
      await peer.measure(2);
      const theirs = () => peer.measure(STEPS_A_ROUND);
      const named = { a: `Mezzo, ${mode}`, b: `Ultralytics on torch, ${mode}` };
      rows.push(row(`Mezzo / Python, ${mode}`, 's', named, await alternate(rounds, measure(ours), theirs)));
      peer.stop();
    }
    return rows;
  },
};
