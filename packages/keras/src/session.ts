import { manualSeed } from '@mezzo/torch';

export { clearSession } from './naming.ts';

/** Restarts the random stream that initializers, dropout and shuffling draw from (keras.utils.set_random_seed). */
export const setRandomSeed = (seed: number): void => {
  manualSeed(seed);
};
