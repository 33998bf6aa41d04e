import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import type { Conversion } from '../convert/conversion.ts';
import { CONVERSIONS } from '../convert/conversions.ts';
import { UsageError } from '../failure.ts';

const options = {
  to: {
    type: 'choice',
    default: null,
    choices: [...new Set(CONVERSIONS.map(({ to }) => to))],
    help: 'what to make, where the input does not say it',
  },
  out: {
    type: 'path',
    default: null,
    help: 'the file or the new folder to write; beside the input, with its name, by default',
  },
  images: {
    type: 'path',
    default: null,
    help: 'coco, voc: the folder of the images, where it is not found beside the annotations',
  },
  exist_ok: { type: 'bool', default: false, help: 'write over what is there already' },
} as const satisfies OptionTable;

const KNOWN = CONVERSIONS.map(({ from, to }) => `${from} to ${to}`).join(', ');

export const convert: Command = {
  name: 'convert',
  usage: [
    'mezzo convert WEIGHTS.pt [--out FILE.safetensors]',
    'mezzo convert WEIGHTS.safetensors --to pt',
    'mezzo convert coco FILE.json|FOLDER [--images FOLDER] [--out FOLDER]',
    'mezzo convert voc FOLDER [--images FOLDER] [--out FOLDER]',
    'mezzo convert llvip FOLDER [--out FOLDER]',
  ],
  about:
    'Converts weights, and data sets in the form of COCO, VOC or LLVIP (pairs) to YOLO form. A .pt file of Ultralytics, YOLOv5 or PyTorch is read without running anything in it; detectors ' +
    'keep their description and class names, so that every command takes the result as model=. Back to .pt is a plain ' +
    'state dict that Python loads with weights_only=True. A data set becomes a folder of images (linked where that is possible), ' +
    'labels and a data.yaml. Either the whole result is written or nothing.',
  examples: [
    ['mezzo convert yolov8n.pt', 'writes yolov8n.safetensors beside it'],
    ['mezzo convert runs/detect/train/weights/best.safetensors --to pt --out best.pt', 'for Python'],
    ['mezzo convert coco annotations/instances_val.json --images val --out val-yolo', 'a data set for data='],
    ['mezzo convert voc VOCdevkit/VOC2012', 'its ImageSets give the splits'],
  ],
  options,
  operands: 'what to convert',
  run: async ({ operands, assignments, json, terminal }) => {
    const settings = resolveTable(options, assignments);
    const word = CONVERSIONS.find((known) => known.word !== null && known.word === operands[0])?.word ?? null;
    const [input, stray] = word === null ? operands : operands.slice(1);
    if (input === undefined || stray !== undefined) {
      const what = input === undefined ? 'what to convert is missing' : `one input at a time: '${stray}'`;
      throw new UsageError('USAGE', what, `mezzo convert knows: ${KNOWN}`);
    }
    const conversion = choose(word, input, settings.to);
    const out = settings.out ?? conversion.defaultOut(input);
    checkOut(conversion, input, { out, overwrite: settings.exist_ok });
    if (conversion.needsLibTorch && existsSync(input)) {
      const { prepareLibTorch } = await import('../libtorch-setup.ts');
      await prepareLibTorch(terminal);
    }
    const { report, lines } = await conversion.run({
      input,
      out,
      images: settings.images,
      note: (line) => terminal.note(line),
    });
    if (json) terminal.print(JSON.stringify(report));
    else for (const line of lines) terminal.print(line);
    return 0;
  },
};

function choose(word: string | null, input: string, to: string | null): Conversion {
  const conversion = CONVERSIONS.find((known) => known.word === word && known.takes(input, to));
  if (conversion !== undefined) return conversion;
  const wanted = to === null ? 'into what?' : `not to ${to}`;
  throw new UsageError(
    'USAGE',
    `${input} cannot be converted: ${wanted}`,
    `mezzo convert knows: ${KNOWN}; --to says which`,
  );
}

function checkOut(
  { fits, to, overwrites }: Conversion,
  input: string,
  { out, overwrite }: { out: string; overwrite: boolean },
): void {
  if (!fits(out) || resolve(out) === resolve(input)) {
    throw new UsageError('USAGE', `--out ${out} is no name for a result in ${to}`);
  }
  if (existsSync(out) && !(overwrite && overwrites)) {
    throw new UsageError(
      'USAGE',
      `${out} is there already`,
      overwrites
        ? 'exist_ok=true writes over it; --out names another file'
        : '--out names another folder: a data set is written to a new one',
    );
  }
}
