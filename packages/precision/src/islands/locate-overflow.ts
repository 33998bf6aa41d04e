import { type nn, scope } from '@mezzo/torch';
import { untouched } from '../autopsy/restore.ts';
import { observe } from '../observe/index.ts';
import type { Overflow } from './healing.ts';

/**
 * Runs a batch again under the observer, and names the layer in which finite numbers first gave one that is not;
 * null when all stayed finite. The model, its gradients and the generators are afterwards what they were.
 * @param replay forward, loss and scaled backward
 */
export function locateOverflow(model: nn.Module, replay: () => void): Overflow | null {
  const { trace } = untouched(model, () => observe(model, { finiteness: true }, () => scope(replay)));
  const first = trace.firstNonFinite;
  if (first === null) return null;
  const { layer, phase, op, inner, node, forwardOp, rule, inputs, output } = first;
  const within = [...model.namedModules()].some(([name]) => name === layer);
  return {
    layer: within ? layer : null,
    phase,
    evidence: {
      source: 'replay',
      op: phase === 'backward' ? (forwardOp ?? op) : op,
      inner,
      node,
      dtype: output.dtype,
      rule,
      largestInput: inputs.length === 0 ? null : Math.max(...inputs.map(({ largest }) => largest)),
    },
  };
}
