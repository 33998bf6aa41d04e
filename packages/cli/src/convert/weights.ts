import type { ConvertedWeights } from '@mezzo/detect';
import { counted, decimalBytes } from '../number-format.ts';
import type { Conversion, ConversionResult } from './conversion.ts';

const endsWith = (suffix: string) => (file: string) => file.toLowerCase().endsWith(suffix);
const isPt = endsWith('.pt');
const isPth = endsWith('.pth');
const isSafetensors = endsWith('.safetensors');

export const ptToSafetensors: Conversion = {
  word: null,
  from: 'WEIGHTS.pt',
  to: 'safetensors',
  takes: (input, to) => (isPt(input) || isPth(input)) && (to === null || to === 'safetensors'),
  defaultOut: (input) => input.replace(/\.pth?$/i, '.safetensors'),
  fits: isSafetensors,
  overwrites: true,
  needsLibTorch: true,
  run: async ({ input, out }) => {
    const { convertPtToSafetensors } = await import('@mezzo/detect');
    return resultOf(convertPtToSafetensors(input, out));
  },
};

export const safetensorsToPt: Conversion = {
  word: null,
  from: 'WEIGHTS.safetensors',
  to: 'pt',
  takes: (input, to) => isSafetensors(input) && to === 'pt',
  defaultOut: (input) => input.replace(/\.safetensors$/i, '.pt'),
  fits: (out) => isPt(out) || isPth(out),
  overwrites: true,
  needsLibTorch: true,
  run: async ({ input, out }) => {
    const { convertSafetensorsToPt } = await import('@mezzo/detect');
    const { report, lines } = resultOf(await convertSafetensorsToPt(input, out));
    return { report, lines: [...lines, `In Python: torch.load('${out}', weights_only=True)`] };
  },
};

function resultOf(converted: ConvertedWeights): ConversionResult {
  const { to, model, names, tensors, bytes } = converted;
  const what =
    model === null
      ? 'of no model that is known here'
      : `of ${model}, ${counted(names.length, 'class', 'classes')}`;
  return {
    report: converted,
    lines: [`${to}: ${counted(tensors, 'tensor')} ${what}, ${decimalBytes(bytes)}`],
  };
}
