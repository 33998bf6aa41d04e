import { lookUp } from '../errors.ts';
import { Adam, AdamW } from './adam.ts';
import { Adamax, Lion, Nadam } from './adam-variants.ts';
import { Adadelta, Adagrad, RMSprop } from './adaptive.ts';
import type { Optimizer } from './optimizer.ts';
import { SGD } from './sgd.ts';

export { Adam, type AdamOptions, AdamW } from './adam.ts';
export { Adamax, Lion, type MomentOptions, Nadam } from './adam-variants.ts';
export {
  Adadelta,
  type AdadeltaOptions,
  Adagrad,
  type AdagradOptions,
  RMSprop,
  type RMSpropOptions,
} from './adaptive.ts';
export { LossScaleOptimizer, type LossScaleOptions } from './loss-scale-optimizer.ts';
export { Optimizer, type OptimizerOptions, type Update } from './optimizer.ts';
export * as schedules from './schedules.ts';
export { SGD, type SGDOptions } from './sgd.ts';

const OPTIMIZERS: Readonly<Record<string, () => Optimizer>> = {
  sgd: () => new SGD(),
  rmsprop: () => new RMSprop(),
  adam: () => new Adam(),
  adamw: () => new AdamW(),
  adadelta: () => new Adadelta(),
  adagrad: () => new Adagrad(),
  adamax: () => new Adamax(),
  nadam: () => new Nadam(),
  lion: () => new Lion(),
};

/** @throws KerasError UNKNOWN_ID */
export const asOptimizer = (id: string | Optimizer): Optimizer =>
  typeof id === 'string' ? lookUp('optimizer', id, OPTIMIZERS)() : id;
