import { isFinitePass, type PassRecord } from './run-pass.ts';

/** fp16's largest number, and the room left below it for gradients of activations, which nobody has measured. */
const LARGEST = 65504;
const HEADROOM = 2 ** 6;
/** How far, and how often, the scale is lowered when gradients overflow nevertheless. */
const STEP = 2 ** -4;
const TRIES = 6;
const HIGHEST = 2 ** 24;

/** The power of two that brings the largest gradient near the top of fp16; 1 for formats with float32's range. */
export function firstScale(low: 'float16' | 'bfloat16', reference: PassRecord<unknown>): number {
  if (low === 'bfloat16') return 1;
  const largest = Math.max(...reference.largest.values());
  if (!(largest > 0)) return 1;
  return Math.min(2 ** Math.floor(Math.log2(LARGEST / HEADROOM / largest)), HIGHEST);
}

/** Runs a pass at this scale, and at lower ones while its gradients, but not its loss, overflow. */
export function atFiniteScale<P extends PassRecord<unknown>>(
  low: 'float16' | 'bfloat16',
  first: number,
  run: (scale: number) => P,
): P {
  let pass = run(first);
  for (let tries = 1; low === 'float16' && tries < TRIES; tries++) {
    if (isFinitePass(pass) || !Number.isFinite(pass.loss)) break;
    pass = run(pass.settings.scale * STEP);
  }
  return pass;
}
