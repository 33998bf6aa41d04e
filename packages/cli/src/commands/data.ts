import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { counted } from '../number-format.ts';

const options = {
  out: {
    type: 'path',
    default: null,
    help: 'folder for images, labels and data.yaml; it must be new or empty',
  },
  train: { type: 'int', default: 240, range: [1, 1e6], help: 'pictures to train on' },
  val: { type: 'int', default: 60, range: [1, 1e6], help: 'pictures to validate on' },
  imgsz: { type: 'int', default: 320, range: [32, 4096], help: 'side of a picture in pixels' },
  seed: { type: 'int', default: 0, range: [0, 2 ** 32 - 1], help: 'the same seed gives the same files' },
} as const satisfies OptionTable;

const KINDS = ['shapes'];

export const data: Command = {
  name: 'data',
  usage: ['mezzo data shapes --out DIR [option=value …]'],
  about:
    'Generates a labelled data set in YOLO format: coloured shapes on cluttered backgrounds. The same options give ' +
    'the same files, byte for byte.',
  examples: [
    ['mezzo data shapes --out shapes', 'then: mezzo train data=shapes/data.yaml'],
    ['mezzo data shapes --out big train=5000 val=500 imgsz=640', 'more and larger pictures'],
  ],
  options,
  operands: 'the kind of data set',
  run: async ({ operands, assignments, json, terminal }) => {
    const { out, ...wanted } = resolveTable(options, assignments);
    const [kind, stray] = operands;
    if (kind === undefined || !KINDS.includes(kind) || stray !== undefined) {
      const known = `mezzo data knows: ${KINDS.join(', ')}`;
      throw new UsageError('USAGE', kind === undefined ? known : `'${stray ?? kind}' is not known; ${known}`);
    }
    if (out === null)
      throw new UsageError(
        'USAGE',
        '--out is missing: the folder to write',
        'mezzo data shapes --out shapes',
      );
    const { generateShapes } = await import('@mezzo/detect');
    const set = await generateShapes({ out, ...wanted });
    if (json) {
      terminal.print(JSON.stringify(set));
      return 0;
    }
    terminal.print(`${counted(wanted.train, 'training picture')} and ${wanted.val} to validate: ${set.yaml}`);
    terminal.print(`Train on them: mezzo train data=${set.yaml}`);
    return 0;
  },
};
