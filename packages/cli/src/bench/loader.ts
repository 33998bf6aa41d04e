import { AUGMENTATION_DEFAULTS, plainMemory, readDataYaml, scanSplit, TrainLoader } from '@mezzo/detect';
import { MezzoError, native } from '@mezzo/libtorch';
import { Peer } from './peer.ts';
import { alternate, type BenchRow, row, type Suite } from './suite.ts';

const EPOCHS_A_ROUND = 2;
// The default of the option `workers`.
const TRAINING_WORKERS = 8;

/** Images per second of the training loader: decode, mosaic, affine, colour, flip; nothing cached, no model. */
export const loader: Suite = {
  name: 'loader',
  about: 'the training loader, against the reference at its best number of workers',
  async run({ threads, peerPython, rounds, data, imgsz, batch, note }) {
    if (data === null) {
      throw new MezzoError('USAGE', 'the suite loader needs a data set', {
        hint: 'give data=, and imgsz=640',
      });
    }
    const { images } = await scanSplit(await readDataYaml(data, { splits: ['train'] }), 'train');
    const mine = new TrainLoader({
      images,
      imgsz,
      batch,
      channels: 3,
      augment: AUGMENTATION_DEFAULTS,
      seed: 0,
      workers: TRAINING_WORKERS,
      allocate: plainMemory(),
      pixels: native(),
    });
    let epoch = 0;
    const ours = async () => {
      const rates: number[] = [];
      for (let i = 0; i < EPOCHS_A_ROUND; i++) {
        const begun = performance.now();
        for await (const { memory } of mine.epoch(epoch++)) memory.release();
        rates.push((1000 * images.length) / (performance.now() - begun));
      }
      return rates;
    };
    await ours();
    if (peerPython === null) {
      const sides = { a: 'Mezzo', b: 'Mezzo again' };
      return [row('loader', 'img/s', sides, await alternate(rounds, ours, ours))];
    }
    const peers = await Promise.all(
      workerCounts(threads).map(async (workers) => {
        const args = ['--data', data, '--imgsz', imgsz, '--batch', batch, '--workers', workers].map(String);
        return { workers, peer: await Peer.start(peerPython, 'loader.py', args) };
      }),
    );
    const rows: BenchRow[] = [];
    for (const { workers, peer } of peers) {
      note(`against ${workers} workers`);
      const theirs = async () => (await peer.measure(EPOCHS_A_ROUND)).map((seconds) => 1 / seconds);
      const sides = { a: 'Mezzo', b: `Ultralytics, ${workers} workers` };
      rows.push(
        row(`Mezzo / Ultralytics, ${workers} workers`, 'img/s', sides, await alternate(rounds, ours, theirs)),
      );
      peer.stop();
    }
    return rows;
  },
};

/** In the process itself, half of the cores, all of them, and twice as many. */
function workerCounts(cores: number): number[] {
  return [...new Set([0, Math.ceil(cores / 2), cores, 2 * cores])];
}
