import type { OptionTable, TableSettings } from '@mezzo/detect/config';

export const demoOptions = {
  out: {
    type: 'path',
    default: 'runs/demo',
    help: 'folder for the pictures, the runs and the predictions',
  },
  epochs: { type: 'int', default: null, range: [1, 1000], help: 'epochs of each run; 10, in fuse 20' },
  train: { type: 'int', default: 256, range: [16, 1e5], help: 'pictures to train on' },
  val: { type: 'int', default: 48, range: [4, 1e5], help: 'held-out pictures' },
  pairs: { type: 'int', default: 600, range: [10, 1e5], help: 'fuse: pairs, a fifth of them held out' },
  preset: {
    type: 'choice',
    choices: ['night', 'clear-ir'],
    default: 'night',
    help: 'fuse: in clear-ir infrared shows every object',
  },
  seeds: { type: 'int', default: 1, range: [1, 20], help: 'fuse: trainings of each network, from seed on' },
  dropout: {
    type: 'float',
    default: 0,
    range: [0, 1],
    help: 'fuse: above 0, also mid with this modality_dropout, measured with infrared missing too',
  },
  imgsz: { type: 'int', default: 160, range: [64, 1280], help: 'side of a picture in pixels' },
  batch: { type: 'int', default: 16, range: [1, 1024], help: 'images a step' },
  device: { type: 'device', default: null, help: 'cpu, 0 or cuda:0' },
  seed: { type: 'int', default: 0, range: [0, 2 ** 32 - 1], help: 'where all randomness starts' },
} as const satisfies OptionTable;

export type DemoSettings = TableSettings<typeof demoOptions>;
