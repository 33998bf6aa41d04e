import { Peer } from './peer.ts';
import { loadDetection, type StepHarness } from './stepHarness.ts';
import { alternate, type BenchRow, row, type Suite } from './suite.ts';

const STEPS_A_ROUND = 3;

/** Seconds of a training step (forward, loss, backward, clipping, SGD) of YOLOv8n. */
export const step: Suite = {
  name: 'step',
  about: 'a training step of YOLOv8n: bf16 against fp32, and both against the reference in Python',
  async run({ threads, peerPython, rounds, imgsz, batch, note }) {
    const harness = await loadDetection({ threads, imgsz, batch });
    const fp32 = harness.steps({ amp: 'fp32', channelsLast: false });
    const bf16 = harness.steps({ amp: 'bf16', channelsLast: true });
    const rows: BenchRow[] = [];
    const measure = (side: StepHarness) => () => side.run(STEPS_A_ROUND);
    note('bf16 against fp32');
    const sides = { a: 'fp32, default layout', b: 'bf16, channels_last' };
    rows.push(row('fp32 / bf16', 's', sides, await alternate(rounds, measure(fp32), measure(bf16))));
    if (peerPython === null) return rows;
    for (const [mode, ours] of [
      ['fp32', fp32],
      ['bf16-cl', bf16],
    ] as const) {
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
