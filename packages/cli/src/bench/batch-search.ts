/**
 * The largest count from 0 to `limit` that fits, by doubling from a guess and halving the interval; what is larger than
 * one that does not fit is taken not to fit either.
 */
export function largestFitting(fits: (count: number) => boolean, guess: number, limit: number): number {
  let fitting = 0;
  let failing = limit + 1;
  let next = Math.min(Math.max(1, guess), limit);
  while (failing - fitting > 1) {
    if (fits(next)) fitting = next;
    else failing = next;
    const middle = Math.floor((fitting + failing) / 2);
    // Too large a batch takes long to fail: nothing is tried beyond twice of what fits.
    next = fitting > 0 ? Math.min(middle, 2 * fitting) : middle;
  }
  return fitting;
}
