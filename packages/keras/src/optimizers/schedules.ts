/** A learning rate as a function of the number of applied steps (keras.optimizers.schedules). */
export type LearningRateSchedule = (step: number) => number;

export interface ExponentialDecayOptions {
  initialLearningRate: number;
  decaySteps: number;
  decayRate: number;
  /** Whole numbers of `decaySteps` only. */
  staircase?: boolean;
}

/** initial · rate^(step / decaySteps) */
export const exponentialDecay =
  ({
    initialLearningRate,
    decaySteps,
    decayRate,
    staircase = false,
  }: ExponentialDecayOptions): LearningRateSchedule =>
  (step) => {
    const power = step / decaySteps;
    return initialLearningRate * decayRate ** (staircase ? Math.floor(power) : power);
  };

export interface CosineDecayOptions {
  initialLearningRate: number;
  decaySteps: number;
  /** Share of the highest rate that is left at the end. */
  alpha?: number;
  /** Where a linear warm-up of `warmupSteps` ends. */
  warmupTarget?: number;
  warmupSteps?: number;
}

/** Half a cosine from the initial rate (or the warm-up's target) down to `alpha` of it. */
export const cosineDecay =
  ({
    initialLearningRate,
    decaySteps,
    alpha = 0,
    warmupTarget,
    warmupSteps = 0,
  }: CosineDecayOptions): LearningRateSchedule =>
  (step) => {
    const top = warmupTarget ?? initialLearningRate;
    if (warmupTarget !== undefined && step < warmupSteps) {
      return initialLearningRate + (warmupTarget - initialLearningRate) * (step / warmupSteps);
    }
    const done = Math.min(warmupTarget === undefined ? step : step - warmupSteps, decaySteps) / decaySteps;
    return top * ((1 - alpha) * 0.5 * (1 + Math.cos(Math.PI * done)) + alpha);
  };

/** values[i] up to and with step boundaries[i], the last value after them. */
export const piecewiseConstantDecay =
  ({
    boundaries,
    values,
  }: {
    boundaries: readonly number[];
    values: readonly number[];
  }): LearningRateSchedule =>
  (step) => {
    const i = boundaries.findIndex((boundary) => step <= boundary);
    return values[i < 0 ? values.length - 1 : i]!;
  };
