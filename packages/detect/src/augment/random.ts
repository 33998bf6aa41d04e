/**
 * Counter-based random numbers: every draw is a pure function of (seed, stream, epoch, sample, how many came
 * before), so an augmentation is the same whatever the number of workers and wherever a run was resumed.
 */

/** Independent sequences of one sample; adding an augmentation never changes the draws of another. */
export const STREAMS = {
  order: 0,
  mosaic: 1,
  affine: 2,
  flip: 3,
  colour: 4,
  mixup: 5,
  shapes: 6,
  cutmix: 7,
  scale: 8,
  infrared: 9,
  night: 14,
  anchors: 15,
} as const;
export type Stream = keyof typeof STREAMS;

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The upper 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/**
 * Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key, as unsigned 32-bit integers.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The random sequence of one stream of one sample in one epoch. */
export class CounterRandom {
  private readonly key: readonly [number, number];
  private readonly counter: [number, number, number, number];
  private block: [number, number, number, number] = [0, 0, 0, 0];
  private used = 4;

  /** `seed` is any safe integer; `epoch` and `sample` are unsigned 32-bit integers. */
  constructor(seed: number, stream: Stream, epoch: number, sample: number) {
    this.key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.counter = [0, sample, epoch, STREAMS[stream]];
  }

  /** An unsigned 32-bit integer. */
  uint32(): number {
    if (this.used === 4) {
      this.block = philox4x32(this.counter, this.key);
      this.counter[0]++;
      this.used = 0;
    }
    return this.block[this.used++]!;
  }

  /** Uniform in [0, 1), in steps of 2^-32. */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** A uniform integer in [0, count), count below 2^32. */
  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** True with the given probability; draws even when the answer is certain. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** Standard normal (Box and Muller, 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Gamma of shape >= 1 and scale 1 (Marsaglia and Tsang, 2000). */
  gamma(shape: number): number {
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  /** Beta(a, b) for a, b >= 1. */
  beta(a: number, b: number): number {
    const x = this.gamma(a);
    return x / (x + this.gamma(b));
  }
}

/** The order in which an epoch visits `count` images: a permutation of 0 … count-1 (Fisher-Yates). */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  const random = new CounterRandom(seed, 'order', epoch, 0);
  for (let last = count - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    const moved = order[last]!;
    order[last] = order[other]!;
    order[other] = moved;
  }
  return order;
}
