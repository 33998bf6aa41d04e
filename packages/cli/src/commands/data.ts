import type { NightLayoutName, NightPresetName } from '@mezzo/detect';
import { type Assignment, type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { Call, Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { counted } from '../number-format.ts';

const common = {
  out: {
    type: 'path',
    default: null,
    help: 'folder for images, labels and data.yaml; it must be new or empty',
  },
  imgsz: { type: 'int', default: 320, range: [32, 4096], help: 'side of a picture in pixels' },
  seed: { type: 'int', default: 0, range: [0, 2 ** 32 - 1], help: 'the same seed gives the same files' },
} as const satisfies OptionTable;

const shapesOptions = {
  ...common,
  train: { type: 'int', default: 240, range: [1, 1e6], help: 'shapes: pictures to train on' },
  val: { type: 'int', default: 60, range: [1, 1e6], help: 'shapes: pictures to validate on' },
} as const satisfies OptionTable;

const PRESETS = ['night', 'clear-ir'] as const satisfies readonly NightPresetName[];
const LAYOUTS = ['yolofuse', 'llvip'] as const satisfies readonly NightLayoutName[];
/** One pair of so many is kept for validation. */
const VALIDATION = 5;

const nightOptions = {
  ...common,
  pairs: {
    type: 'int',
    default: 300,
    range: [2, 1e6],
    help: `night: pairs in all; one of ${VALIDATION} is kept for validation`,
  },
  preset: {
    type: 'choice',
    choices: PRESETS,
    default: 'night',
    help: 'night: in `night` some objects are seen only in visible light and some only in infrared; in `clear-ir` infrared shows all',
  },
  layout: {
    type: 'choice',
    choices: LAYOUTS,
    default: 'yolofuse',
    help: 'night: folders images, imagesIR, labels, or visible, infrared, Annotations with VOC XML as in LLVIP',
  },
} as const satisfies OptionTable;

interface Written {
  yaml: string;
  train: number;
  val: number;
}

interface Generator {
  options: OptionTable;
  /** What one example is called. */
  item: string;
  /** What to do with the set. */
  next: (yaml: string) => string;
  write: (out: string, assignments: readonly Assignment[]) => Promise<Written>;
}

const KINDS: Readonly<Record<string, Generator>> = {
  shapes: {
    options: shapesOptions,
    item: 'picture',
    next: (yaml) => `Train on them: mezzo train data=${yaml}`,
    write: async (out, assignments) => {
      const { generateShapes } = await import('@mezzo/detect');
      return generateShapes({ ...resolveTable(shapesOptions, assignments), out });
    },
  },
  night: {
    options: nightOptions,
    item: 'pair',
    next: (yaml) => `Train on them: mezzo train-dual data=${yaml}`,
    write: async (out, assignments) => {
      const { pairs, ...wanted } = resolveTable(nightOptions, assignments);
      const val = Math.max(1, Math.round(pairs / VALIDATION));
      const { generateNight } = await import('@mezzo/detect');
      return generateNight({ ...wanted, out, train: pairs - val, val });
    },
  },
};

export const data: Command = {
  name: 'data',
  usage: ['mezzo data shapes --out DIR [option=value …]', 'mezzo data night --out DIR [option=value …]'],
  about:
    'Generates a labelled data set: `shapes`, coloured shapes on cluttered backgrounds, or `night`, pairs of pictures ' +
    'of streets at night, in visible light and in infrared. The same options give the same files, byte for byte.',
  examples: [
    ['mezzo data shapes --out shapes', 'then: mezzo train data=shapes/data.yaml'],
    ['mezzo data shapes --out big train=5000 val=500 imgsz=640', 'more and larger pictures'],
    ['mezzo data night --out night --pairs 300', 'pairs for a detector with two streams'],
  ],
  options: { ...shapesOptions, ...nightOptions },
  operands: 'the kind of data set',
  run: generate,
};

async function generate({ operands, assignments, json, terminal }: Call): Promise<number> {
  const [kind, stray] = operands;
  const generator = kind === undefined ? undefined : KINDS[kind];
  if (generator === undefined || stray !== undefined) {
    const known = `mezzo data knows: ${Object.keys(KINDS).join(', ')}`;
    throw new UsageError('USAGE', kind === undefined ? known : `'${stray ?? kind}' is not known; ${known}`);
  }
  const foreign = assignments.find(({ name }) => !(name in generator.options));
  if (foreign)
    throw new UsageError(
      'USAGE',
      `'${foreign.name}' has no effect on mezzo data ${kind}`,
      `its options: ${Object.keys(generator.options).join(', ')}`,
    );
  const { out } = resolveTable(
    { out: common.out },
    assignments.filter(({ name }) => name === 'out'),
  );
  if (out === null)
    throw new UsageError(
      'USAGE',
      '--out is missing: the folder to write',
      `mezzo data ${kind} --out ${kind}`,
    );
  const set = await generator.write(out, assignments);
  if (json) {
    terminal.print(JSON.stringify(set));
    return 0;
  }
  terminal.print(
    `${counted(set.train, `training ${generator.item}`)} and ${set.val} to validate: ${set.yaml}`,
  );
  terminal.print(generator.next(set.yaml));
  return 0;
}
