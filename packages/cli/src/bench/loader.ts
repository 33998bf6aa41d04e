import { AUGMENTATION_DEFAULTS, plainMemory, readDataYaml, scanSplit, TrainLoader } from '@mezzo/detect';
import { native } from '@mezzo/libtorch';
import type { BenchRow } from './report.ts';
import { SideProcess, withSide } from './side-process.ts';
import { alternate, requireData, row, type Suite } from './suite.ts';

const EPOCHS_A_ROUND = 2;
// The default of the option `workers`.
const TRAINING_WORKERS = 8;

/** Images per second of the training loader: decode, mosaic, affine, colour, flip; no model. */
export const loader: Suite = {
  name: 'loader',
  about: 'the training loader, against the reference by number of workers, with and without RAM cache',
  size: { imgsz: 640, batch: 16 },
  async run(options) {
    const { threads, peerPython, rounds, imgsz, batch, note } = options;
    const data = await requireData('loader', options);
    const { images } = await scanSplit(await readDataYaml(data, { splits: ['train'] }), 'train');
    /** Rates of a loader over a few epochs; the caller warms it up. */
    const ours = (cacheRam: boolean) => {
      const loader = new TrainLoader({
        images,
        imgsz,
        batch,
        channels: 3,
        augment: AUGMENTATION_DEFAULTS,
        seed: 0,
        workers: TRAINING_WORKERS,
        cacheRam,
        allocate: plainMemory(),
        pixels: native(),
      });
      let epoch = 0;
      return async () => {
        const rates: number[] = [];
        for (let i = 0; i < EPOCHS_A_ROUND; i++) {
          const begun = performance.now();
          for await (const { memory } of loader.epoch(epoch++)) memory.release();
          rates.push((1000 * images.length) / (performance.now() - begun));
        }
        return rates;
      };
    };
    const rows: BenchRow[] = [];
    for (const [cacheRam, how] of [
      [false, ''],
      [true, ', RAM cache'],
    ] as const) {
      const mine = ours(cacheRam);
      await mine();
      if (peerPython === null) {
        const sides = { a: `Mezzo${how}`, b: `Mezzo${how}, again` };
        rows.push(row(`loader${how}`, 'img/s', sides, await alternate(rounds, mine, mine)));
        continue;
      }
      for (const workers of workerCounts(threads)) {
        note(`against ${workers} workers${how}`);
        const args = ['--data', data, '--imgsz', imgsz, '--batch', batch, '--workers', workers].map(String);
        const started = SideProcess.python(peerPython, 'loader.py', cacheRam ? [...args, '--ram'] : args);
        await withSide(started, async (peer) => {
          const theirs = async () => (await peer.measure(EPOCHS_A_ROUND)).map((seconds) => 1 / seconds);
          const sides = { a: `Mezzo${how}`, b: `Ultralytics, ${workers} workers${how}` };
          const samples = await alternate(rounds, mine, theirs);
          rows.push(row(`Mezzo / Ultralytics, ${workers} workers${how}`, 'img/s', sides, samples));
        });
      }
    }
    return rows;
  },
};

/** In the process itself, half of the cores, all of them, and twice as many. */
function workerCounts(cores: number): number[] {
  return [...new Set([0, Math.ceil(cores / 2), cores, 2 * cores])];
}
