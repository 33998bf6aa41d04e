import { forkRng, type Tensor } from '@mezzo/torch';
import { Conv } from './blocks.ts';
import type { DetectionModel } from './build.ts';

interface Made {
  readonly weights: readonly Tensor[];
  /** Dtypes and versions of the weights at that time. */
  readonly state: readonly string[];
  readonly copy: DetectionModel;
}

/**
 * The folded copy of a network, by which it predicts and is measured (as in the reference, and in an exported file). It is
 * made when it is first asked for, and again when the weights have changed since. Training does not use it.
 */
export class InferenceCopy {
  private made: Made | undefined;

  /** A network that is folded already is its own copy. */
  of(model: DetectionModel): DetectionModel {
    if (![...model.modules()].some((module) => module instanceof Conv && !module.isFolded)) return model;
    const weights = [...model.parameters(), ...model.buffers()];
    const state = weights.map(({ dtype, version }) => `${dtype} ${version}`);
    const { made } = this;
    const holds = weights.every((weight, i) => weight === made?.weights[i] && state[i] === made.state[i]);
    if (made !== undefined && holds) return made.copy;
    // Building the copy draws random numbers, which are not the caller's.
    const copy = forkRng(() => model.fused());
    this.made = { weights, state, copy };
    return copy;
  }
}
