import { readDataYaml, scanSplit } from '@mezzo/detect';
import { MezzoError } from '@mezzo/libtorch';
import { backends, cuda, setNumThreads } from '@mezzo/torch';
import { deviceRows, dualMid } from './device-rows.ts';
import { alternateEpochs, type EpochSide } from './epoch.ts';
import type { BenchRow } from './report.ts';
import { type BenchOptions, row, type Suite } from './suite.ts';

const DEVICE = 'cuda:0';
const STEPS_A_ROUND = 10;
const LARGE = 'yolov8l';

/** Both as they are, and both at their best. */
const EPOCHS: readonly (readonly [a: EpochSide, b: EpochSide])[] = [
  [
    { name: 'Mezzo, default', peer: false, settings: {} },
    { name: 'Ultralytics, default', peer: true, settings: {} },
  ],
  [
    {
      name: 'Mezzo, RAM cache, not deterministic',
      peer: false,
      settings: { cache: 'ram', deterministic: false },
    },
    {
      name: 'Ultralytics, RAM cache, compiled, channels_last, not deterministic',
      peer: true,
      settings: { cache: 'ram', compile: true, channels_last: true, deterministic: false },
    },
  ],
];

/** What a CUDA device makes of mixed precision. */
export const gpu: Suite = {
  name: 'gpu',
  about: 'a CUDA device: AMP against fp32 by time, memory and batch; with data= epochs against the reference',
  size: { imgsz: 640, batch: 16 },
  async run(options) {
    if (!cuda.isAvailable()) {
      throw new MezzoError('NO_SUCH_DEVICE', 'the suite gpu measures a CUDA device: LibTorch sees none', {
        hint: 'mezzo doctor says what was found and why; the other suites measure the CPU',
      });
    }
    const { imgsz, batch, rounds, model, threads, note } = options;
    setNumThreads(threads);
    backends.cudnn.benchmark = true;
    const bench = { imgsz, batch, rounds, model, note, device: DEVICE, large: LARGE, dual: dualMid() };
    const rows = deviceRows({ ...bench, stepsARound: STEPS_A_ROUND });
    return [...rows, ...(await epochRows(options))];
  },
};

/** Images a second of whole epochs: loader, steps and validation, by the images that are trained on. */
async function epochRows(options: BenchOptions): Promise<BenchRow[]> {
  const { data, peerPython, note } = options;
  if (data === null || peerPython === null) {
    note('epochs against the reference are left out: they need data= and PEER_VENV');
    return [];
  }
  const { images } = await scanSplit(await readDataYaml(data, { splits: ['train'] }), 'train');
  const rate = (seconds: number) => images.length / seconds;
  const rows: BenchRow[] = [];
  for (const [a, b] of EPOCHS) {
    const seconds = await alternateEpochs(a, b, { ...options, data, device: DEVICE });
    const rates = { a: seconds.a.map(rate), b: seconds.b.map(rate) };
    rows.push(row(`epoch: ${a.name} / ${b.name}`, 'img/s', { a: a.name, b: b.name }, rates));
  }
  return rows;
}
