import { cuda } from '@mezzo/torch';

let chosen: string | undefined;

/** Where new layers put their variables and `fit` its batches: the first GPU when there is one, else 'cpu'. */
export const device = (): string => chosen ?? (cuda.isAvailable() ? 'cuda:0' : 'cpu');

/** Chooses the device of what is built from now on; null lets Mezzo choose again. */
export const setDevice = (name: string | null): void => {
  chosen = name ?? undefined;
};

/** Keras's fuzz factor, which keeps logarithms and quotients finite. */
export const EPSILON = 1e-7;
