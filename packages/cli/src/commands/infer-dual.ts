import { COMMAND_LINE_OPTIONS, joinLayers } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { requireDual } from '../dual.ts';
import { runPrediction } from './predict.ts';

/** Who trained with AMP expects faster predictions. */
const FASTER =
  'AMP makes training faster; for faster predictions: half=true, or mezzo export and a run time for ONNX';

export const inferDual: Command = {
  name: 'infer-dual',
  usage: ['mezzo infer-dual model=WEIGHTS.safetensors source=PICTURES [source-ir=PICTURES] [option=value …]'],
  about:
    'Finds objects in pairs of visible and infrared pictures. Both pictures of a pair, with the boxes, go side by ' +
    'side to runs/predict/exp (exp2, …). A picture of source-ir belongs to the one of source with the same name; ' +
    'without source-ir the names of the folders lead to it. A picture that is missing is told, and its channels ' +
    'are zeros. With --json one line a pair.',
  examples: [
    ['mezzo infer-dual model=best.safetensors source=night/images/val', 'infrared: night/imagesIR/val'],
    ['mezzo infer-dual model=best.safetensors source=a.jpg source-ir=a_ir.jpg', 'one pair'],
    ['mezzo infer-dual model=best.safetensors source-ir=frames', 'infrared alone'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'predict',
  operands: 'pictures',
  run: async (call) => {
    const options = await joinLayers('predict', call.assignments);
    const code = await runPrediction(call, { project: 'runs/predict', name: 'exp', ...options }, requireDual);
    if (!options.half) call.terminal.note(FASTER);
    return code;
  },
};
