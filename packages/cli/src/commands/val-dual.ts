import { COMMAND_LINE_OPTIONS, joinLayers } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { FUSE_PROJECT, requireDual } from '../dual.ts';
import { runValidation } from './val.ts';

export const valDual: Command = {
  name: 'val-dual',
  usage: ['mezzo val-dual model=WEIGHTS.safetensors [data=DATA.yaml] [option=value …]'],
  about:
    'Measures a detector of two streams on pairs of visible and infrared pictures, as mezzo val does. Curves, ' +
    'confusion matrices and sample pictures, both sensors side by side, go to runs/fuse/val (val2, …).',
  examples: [
    ['mezzo val-dual model=runs/fuse/train/weights/best.safetensors', 'on the data of its training run'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'val',
  operands: false,
  run: async (call) => {
    const options = await joinLayers('val', call.assignments);
    return runValidation(call, { project: FUSE_PROJECT, ...options }, requireDual);
  },
};
