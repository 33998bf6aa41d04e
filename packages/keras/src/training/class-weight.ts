import { type Tensor, tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import type { Arrays } from './data.ts';

/** Weight of a sample by its class; 1 for those left out. */
export type ClassWeight = Readonly<Record<number, number>>;

/** The samples weighted by their classes. @throws KerasError BAD_OPTION beside sample weights or without targets */
export function withClassWeight(arrays: Arrays, classWeight: ClassWeight): Arrays {
  const { y, weight } = arrays;
  if (weight !== null) throw new KerasError('BAD_OPTION', 'fit: give classWeight or sampleWeight, not both');
  if (y === null) throw new KerasError('BAD_OPTION', 'fit: classWeight needs targets y');
  const classes = classesOf(y);
  const count = Math.max(Number(classes.max().item()), ...Object.keys(classWeight).map(Number)) + 1;
  const table = tensor(Array.from({ length: count }, (_, i) => classWeight[i] ?? 1));
  return { ...arrays, weight: table.to(classes.device).indexSelect(0, classes) };
}

const classesOf = (y: Tensor): Tensor =>
  (y.ndim > 1 && y.size(-1) > 1 ? y.argmax(-1) : y).reshape(-1).to('int64');
