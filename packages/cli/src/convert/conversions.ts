import type { Conversion } from './conversion.ts';
import { cocoToYolo, llvipToYolo, vocToYolo } from './data-sets.ts';
import { ptToSafetensors, safetensorsToPt } from './weights.ts';

/** Everything that `mezzo convert` can do; the first that takes an input does it. */
export const CONVERSIONS: readonly Conversion[] = [
  ptToSafetensors,
  safetensorsToPt,
  cocoToYolo,
  vocToYolo,
  llvipToYolo,
];
