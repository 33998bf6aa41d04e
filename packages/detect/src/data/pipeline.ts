/** Batches prepared ahead of their use, in order, a bounded number of them. */
import type { ImageMemory } from './image-memory.ts';

export interface PipelineOptions<B extends { memory: ImageMemory }> {
  /** First batch and the one after the last. */
  from: number;
  to: number;
  /** Batches in preparation while another one is in use; 0 prepares a batch only when it is asked for. */
  prefetch: number;
  build: (batch: number) => Promise<B>;
  signal?: AbortSignal;
}

/**
 * Yields the batches `from` … `to`-1. The consumer owns each batch and releases its memory; those that were
 * prepared in vain are released here, also when the consumer stops early.
 * @throws the first error of `build` in batch order, or the reason of an abort
 */
export async function* pipeline<B extends { memory: ImageMemory }>(
  options: PipelineOptions<B>,
): AsyncGenerator<B, void, undefined> {
  const { from, to, prefetch, build, signal } = options;
  const pending: Promise<B>[] = [];
  let next = from;
  const prepare = (ahead: number) => {
    while (next < to && pending.length < ahead) {
      const batch = build(next++);
      // Errors surface when the batch's turn comes; until then they are not unhandled ones.
      batch.catch(() => {});
      pending.push(batch);
    }
  };
  try {
    for (let batch = from; batch < to; batch++) {
      signal?.throwIfAborted();
      prepare(Math.max(1, prefetch));
      const ready = await pending.shift()!;
      prepare(prefetch);
      yield ready;
    }
  } finally {
    // Native jobs write into these memories until they settle.
    for (const result of await Promise.allSettled(pending)) {
      if (result.status === 'fulfilled') result.value.memory.release();
    }
  }
}
