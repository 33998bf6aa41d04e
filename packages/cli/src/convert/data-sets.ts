import type { WrittenDataSet } from '@mezzo/detect';
import { counted } from '../number-format.ts';
import type { Conversion, ConversionRequest, ConversionResult } from './conversion.ts';

/** The two differ in what they read only. */
const toYolo = (
  word: string,
  from: string,
  convert: (request: ConversionRequest) => Promise<WrittenDataSet>,
): Conversion => ({
  word,
  from,
  to: 'yolo',
  takes: (_, to) => to === null || to === 'yolo',
  defaultOut: (input) => `${input.replace(/\/+$/, '').replace(/\.json$/i, '')}-yolo`,
  fits: () => true,
  overwrites: false,
  needsLibTorch: false,
  run: async (request) => {
    const written = await convert(request);
    for (const warning of written.warnings) request.note(warning);
    return resultOf(written);
  },
});

export const cocoToYolo = toYolo('coco', 'coco FILE.json or FOLDER', async ({ input, out, images }) => {
  const { convertCocoToYolo } = await import('@mezzo/detect');
  return convertCocoToYolo(input, out, { images });
});

export const vocToYolo = toYolo('voc', 'voc FOLDER', async ({ input, out, images }) => {
  const { convertVocToYolo } = await import('@mezzo/detect');
  return convertVocToYolo(input, out, { images });
});

export const llvipToYolo = toYolo('llvip', 'llvip FOLDER', async ({ input, out }) => {
  const { convertLlvipToYolo } = await import('@mezzo/detect');
  return convertLlvipToYolo(input, out);
});

function resultOf(written: WrittenDataSet): ConversionResult {
  const { to, names, splits } = written;
  const lines = Object.entries(splits).map(
    ([split, { images, boxes, backgrounds }]) =>
      `  ${split}: ${counted(images, 'image')}, ${counted(boxes, 'object')}, ${backgrounds} without objects`,
  );
  const missing = (['train', 'val'] as const).filter((split) => splits[split] === undefined);
  const advice = missing.map(
    (split) => `  ${split}: is not among them; write '${split}:' into the yaml to train`,
  );
  return {
    report: written,
    lines: [`${to}: ${counted(names.length, 'class', 'classes')} (${names.join(', ')})`, ...lines, ...advice],
  };
}
