/**
 * Uniform numbers in [0, 1), the same for the same seed on every machine: a counter through the 32-bit finalizer
 * of MurmurHash3. Data are made with it, so that they depend on nothing that training draws.
 */
export function uniform(seed: number): () => number {
  let counter = Math.imul(seed + 1, 0x9e3779b9);
  return () => {
    counter = (counter + 0x6d2b79f5) | 0;
    let hash = counter;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** One of them, each as likely. */
export const pick = <T>(draw: () => number, of: ArrayLike<T>): T => of[Math.floor(draw() * of.length)]!;
