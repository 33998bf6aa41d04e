import type { OptionTable } from '../option.ts';
import { TRAIN } from './commands.ts';

export const rankOptions = {
  ranks: {
    type: 'int',
    default: null,
    range: [1, 65536],
    commands: TRAIN,
    help: 'processes on this machine that train together, each with its part of batch: with device=cpu; 1 unless given, and under torchrun, Slurm or Kubernetes as many as were started',
  },
  sync_bn: {
    type: 'bool',
    default: false,
    commands: TRAIN,
    help: 'BatchNorm takes its statistics of the whole batch, and not of the part that each rank has',
  },
  timeout: {
    type: 'float',
    default: 1800,
    above: 0,
    commands: TRAIN,
    help: 'seconds that a rank waits for the others before the job ends with an error',
  },
} satisfies OptionTable;
