import { amp, noGrad, scope, type Tensor } from '@mezzo/torch';

/** Names of the tensors of a state, all of one device, that hold an infinity or NaN. HOST SYNC: one. */
export function notFinite(stateOf: () => Readonly<Record<string, Tensor>>): string[] {
  return scope(() => {
    const entries = Object.entries(stateOf()).filter(([, tensor]) => tensor.isFloatingPoint());
    if (entries.length === 0) return [];
    const largest = noGrad(() => amp.readMagnitudes(amp.magnitudes(entries.map(([, tensor]) => tensor))));
    return entries.flatMap(([name], i) => (Number.isFinite(largest[i]) ? [] : [name]));
  });
}
