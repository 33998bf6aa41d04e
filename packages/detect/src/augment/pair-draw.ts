/** What is drawn for a pair of pictures beyond what both share: the infrared camera's photometry, a missing sensor. */
import type { CounterRandom } from './random.ts';

export interface PairAugmentation {
  /** Largest relative change of infrared's contrast. */
  gain: number;
  /** Largest shift of infrared's level, part of the scale. */
  offset: number;
  /** Largest standard deviation of noise on infrared, part of the scale. */
  noise: number;
  /** Probability that one of the two pictures is missing (all 0), each as likely as the other. */
  dropout: number;
}

export const PAIR_AUGMENTATION_DEFAULTS: PairAugmentation = {
  gain: 0.2,
  offset: 0.1,
  noise: 0.02,
  dropout: 0,
};

export type Modality = 'visible' | 'infrared';

export interface PairDraw {
  gain: number;
  /** Levels of 255. */
  offset: number;
  /** Standard deviation, levels of 255. */
  noise: number;
  /** Of the noise, 0 … 2^31 - 1. */
  seed: number;
  dropped: Modality | null;
}

const SEEDS = 2 ** 31;

/** `random` is the sample's stream `infrared`. */
export function drawPair(
  { gain, offset, noise, dropout }: PairAugmentation,
  random: CounterRandom,
): PairDraw {
  const drawn = {
    gain: 1 + random.between(-gain, gain),
    offset: 255 * random.between(-offset, offset),
    noise: 255 * random.between(0, noise),
    seed: random.integer(SEEDS),
  };
  const missing = random.chance(dropout);
  const which = random.chance(0.5) ? 'infrared' : 'visible';
  return { ...drawn, dropped: missing ? which : null };
}
