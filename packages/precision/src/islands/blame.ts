import type { nn } from '@mezzo/torch';
import type { Overflow } from './healing.ts';

/**
 * The layer that the non-finite gradients point to when there is no replay: backward goes from the last layer to
 * the first and an overflow spreads on its way, so it began near the last parameter that has one. When no gradient
 * is finite it began in forward or in the loss, and nothing can be said.
 * @param culprits names of the parameters whose gradients are not finite
 */
export function blameGradients(model: nn.Module, culprits: readonly string[]): Overflow | null {
  const bad = new Set(culprits);
  const trained = [...model.namedParameters()]
    .filter(([, { requiresGrad }]) => requiresGrad)
    .map(([name]) => name);
  const last = trained.findLast((name) => bad.has(name));
  if (last === undefined || trained.every((name) => bad.has(name))) return null;
  return {
    layer: last.slice(0, Math.max(0, last.lastIndexOf('.'))),
    phase: 'backward',
    evidence: { source: 'gradients', parameter: last, culprits: bad.size },
  };
}
