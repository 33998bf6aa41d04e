import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { choosePrecision, generateShapes, YOLO } from '@mezzo/detect';
import { arange, autocast, inferenceMode, keep, scope, setNumThreads } from '@mezzo/torch';
import type { BenchRow } from './report.ts';
import { peerModel, SideProcess, withSide } from './side-process.ts';
import { alternate, type BenchOptions, row, type Suite } from './suite.ts';

const RUNS_A_ROUND = 5;
const WARM_UP = 2;

type Side = () => number[] | Promise<number[]>;

/** How the network alone is run; the first is what `mezzo predict` does, the last what it does with half=true. */
const MODES = [
  { name: 'fp32', amp: 'fp32', channelsLast: false },
  { name: 'fp32-cl', amp: 'fp32', channelsLast: true },
  { name: 'bf16-cl', amp: 'bf16', channelsLast: true },
] as const;

/** Seconds of one prediction on a CPU: the folded network alone by mode, and all from a file to boxes. */
export const infer: Suite = {
  name: 'infer',
  about:
    'one prediction on the CPU: the folded network by mode, and from file to boxes, against the reference',
  size: { imgsz: 640, batch: 1 },
  async run(options) {
    // predict() sets the compute threads anew, as the environment asks.
    process.env.OMP_NUM_THREADS = String(options.threads);
    setNumThreads(options.threads);
    const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-bench-'));
    try {
      return [...(await networkRows(options)), ...(await fileRows(options, folder))];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function networkRows({
  model,
  imgsz,
  batch,
  threads,
  rounds,
  peerPython,
  note,
}: BenchOptions): Promise<BenchRow[]> {
  const sides = new Map<string, Side>();
  for (const { name, amp, channelsLast } of MODES) {
    const side = await networkSide(model, { amp, channelsLast, imgsz, batch });
    for (let i = 0; i < WARM_UP; i++) side();
    sides.set(name, side);
  }
  const rows: BenchRow[] = [];
  const fp32 = sides.get('fp32')!;
  for (const name of ['fp32-cl', 'bf16-cl']) {
    note(`network: ${name} against fp32`);
    const samples = await alternate(rounds, sides.get(name)!, fp32);
    rows.push(row(`network: ${name} / fp32`, 's', { a: `Mezzo, ${name}`, b: 'Mezzo, fp32' }, samples));
  }
  if (peerPython === null) return rows;
  const args = peerArgs({ model, imgsz, batch, threads });
  await withSide(SideProcess.python(peerPython, 'infer.py', args), async (peer) => {
    for (const [name, side] of sides) {
      note(`network: ${name} against Python`);
      const samples = await alternate(rounds, side, () => peer.measure(RUNS_A_ROUND));
      const named = { a: `Mezzo, ${name}`, b: 'Ultralytics, its default on a CPU' };
      rows.push(row(`network: Mezzo, ${name} / Python`, 's', named, samples));
    }
  });
  return rows;
}

/** The folded network on one tensor, decoded boxes included. */
async function networkSide(
  name: string,
  {
    amp,
    channelsLast,
    imgsz,
    batch,
  }: { amp: 'fp32' | 'bf16'; channelsLast: boolean; imgsz: number; batch: number },
): Promise<() => number[]> {
  const network = (await YOLO.load(name)).fuse().model;
  const precision = choosePrecision(amp, 'cpu', channelsLast);
  const memoryFormat = channelsLast ? ('channels_last' as const) : ('contiguous' as const);
  network.eval();
  network.to({ memoryFormat });
  const { dtype, enabled } = precision;
  const shape = [batch, 3, imgsz, imgsz];
  const count = shape.reduce((product, side) => product * side, 1);
  const input = keep(
    scope(() => arange(count).remainder(251).div(255).reshape(shape).to({ dtype, memoryFormat })),
  );
  const once = () => {
    scope(() =>
      inferenceMode(() => autocast({ device: 'cpu', dtype, enabled }, () => network.predict(input))),
    );
  };
  return () =>
    Array.from({ length: RUNS_A_ROUND }, () => {
      const begun = performance.now();
      once();
      return (performance.now() - begun) / 1000;
    });
}

/** Read, decoded, letterboxed, predicted, suppressed: by the public call of each side. */
async function fileRows(options: BenchOptions, folder: string): Promise<BenchRow[]> {
  const { model, imgsz, threads, rounds, peerPython, note } = options;
  const out = path.join(folder, 'shapes');
  await generateShapes({ out, train: 1, val: 1, imgsz, seed: 0 });
  const pictures = path.join(out, 'images', 'val');
  const picture = path.join(pictures, readdirSync(pictures)[0]!);
  const ours = async (half: boolean): Promise<Side> => {
    const detector = await YOLO.load(model);
    const side = async () => {
      const seconds: number[] = [];
      for (let i = 0; i < RUNS_A_ROUND; i++) {
        const begun = performance.now();
        await detector.predict(picture, { imgsz, half, device: 'cpu' });
        seconds.push((performance.now() - begun) / 1000);
      }
      return seconds;
    };
    await side();
    return side;
  };
  const plain = await ours(false);
  const half = await ours(true);
  note('file to boxes: half=true against the default');
  const sides = { a: 'Mezzo, half=true', b: 'Mezzo, default' };
  const rows = [row('file to boxes: half / default', 's', sides, await alternate(rounds, half, plain))];
  if (peerPython === null) return rows;
  const args = [...peerArgs({ model, imgsz, batch: 1, threads }), '--image', picture];
  await withSide(SideProcess.python(peerPython, 'infer.py', args), async (peer) => {
    for (const [name, side] of [
      ['default', plain],
      ['half=true', half],
    ] as const) {
      note(`file to boxes: ${name} against Python`);
      const samples = await alternate(rounds, side, () => peer.measure(RUNS_A_ROUND));
      const named = { a: `Mezzo, ${name}`, b: 'Ultralytics, its default on a CPU' };
      rows.push(row(`file to boxes: Mezzo, ${name} / Python`, 's', named, samples));
    }
  });
  return rows;
}

function peerArgs({
  model,
  imgsz,
  batch,
  threads,
}: Pick<BenchOptions, 'model' | 'imgsz' | 'batch' | 'threads'>): string[] {
  return ['--model', peerModel(model), '--imgsz', imgsz, '--batch', batch, '--threads', threads].map(String);
}
