/** Ends a run whose fitness has not risen for `patience` epochs; 0 never ends it. */
export class EarlyStopping {
  readonly patience: number;
  bestFitness: number;
  bestEpoch: number;

  constructor(patience: number, best: { fitness: number; epoch: number } = { fitness: 0, epoch: 0 }) {
    this.patience = patience;
    this.bestFitness = best.fitness;
    this.bestEpoch = best.epoch;
  }

  /** Records the fitness of an epoch (from 0). */
  record(epoch: number, fitness: number): { improved: boolean; stop: boolean } {
    // A tie counts: with a fitness of 0 throughout, the newest weights are the best guess.
    const improved = fitness >= this.bestFitness;
    if (improved) {
      this.bestFitness = fitness;
      this.bestEpoch = epoch;
    }
    return { improved, stop: this.patience > 0 && epoch - this.bestEpoch >= this.patience };
  }
}
