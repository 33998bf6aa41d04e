import { Generator } from '@mezzo/torch';

export interface SeedOption {
  /** The same values for the same seed. Default: from the global random stream. */
  seed?: number;
}

/** Where an initializer draws from. */
export const source = (seed: number | undefined): { generator?: Generator } => {
  if (seed === undefined) return {};
  const generator = new Generator();
  generator.manualSeed(seed);
  return { generator };
};
