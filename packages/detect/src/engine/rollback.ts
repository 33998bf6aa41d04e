/** By the number of the rollback, from 0 for none: the part of the learning rate that is left. */
const RATES = [1, 1, 0.5, 0.25] as const;
const SEED_STRIDE = 1_000_003;

/**
 * What differs after a rollback, so that the run does not meet the same fate: always the order of the pictures, their
 * augmentation and LibTorch's random numbers; from the second rollback on the learning rate too.
 */
export function scheduleOfRollback(rollbacks: number): { rate: number; text: string } {
  const rate = RATES[rollbacks] ?? RATES[RATES.length - 1]!;
  const order = 'another order of the pictures';
  return { rate, text: rate === 1 ? order : `${order} and ${rate} of the learning rate` };
}

/** Where the randomness of a run starts after so many rollbacks: the same for the same seed, whenever it is resumed. */
export function seedOfRollback(seed: number, rollbacks: number): number {
  return rollbacks === 0 ? seed : (seed + rollbacks * SEED_STRIDE) % Number.MAX_SAFE_INTEGER;
}
