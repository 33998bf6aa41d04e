import { TensorHandle } from '../tensor/handle.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import { Replicas } from './replicas.ts';

/** Nested lists of tensors; other iterables become lazy ones. */
export type Scalable = Tensor | Iterable<Scalable>;

/**
 * Every tensor in there times the scale, each on its own device; `scaleOn` gives the scale, for the device of
 * the first.
 * @throws AmpError VALUE when something in there is no tensor
 */
export function scaleOutputs(outputs: Scalable, scaleOn: (device: string) => Tensor): Scalable {
  let replicas: Replicas | undefined;
  const scaled = (value: unknown): Scalable => {
    if (value instanceof TensorHandle) {
      replicas ??= new Replicas(scaleOn(value.device));
      return (value as Tensor).mul(replicas.on(value.device));
    }
    if (Array.isArray(value)) return value.map(scaled);
    if (typeof value === 'object' && value !== null && Symbol.iterator in value) {
      return lazily(value as Iterable<unknown>, scaled);
    }
    throw new AmpError('VALUE', 'outputs must be a Tensor or an iterable of Tensors');
  };
  return scaled(outputs);
}

function* lazily<T>(values: Iterable<unknown>, each: (value: unknown) => T): Generator<T> {
  for (const value of values) yield each(value);
}
