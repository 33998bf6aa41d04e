/** How the samples of each batch are divided among processes that train together: each has some, none has another's. */

/** One of `size` processes. */
export interface Share {
  readonly rank: number;
  readonly size: number;
}

export const WHOLE: Share = { rank: 0, size: 1 };

/** Samples `first` … `first + count - 1` of the epoch's order, of the `whole` that the batch has. */
export interface Part {
  readonly first: number;
  readonly count: number;
  readonly whole: number;
}

/** Batches of an epoch. The last may be smaller; one too small to give every process a sample joins the one before. */
export function batchesOf(samples: number, batch: number, { size }: Pick<Share, 'size'>): number {
  const full = Math.floor(samples / batch);
  return full + (samples % batch >= size || full === 0 ? 1 : 0);
}

/** What one process has of a batch: neighbours in the order, as many as the others or one more or less. */
export function partOf(index: number, samples: number, batch: number, share: Share): Part {
  const begin = index * batch;
  const end = index + 1 === batchesOf(samples, batch, share) ? samples : begin + batch;
  const whole = end - begin;
  const [from, to] = [share.rank, share.rank + 1].map((rank) => Math.floor((whole * rank) / share.size));
  return { first: begin + from!, count: to! - from!, whole };
}
