import { getRandomValues } from 'node:crypto';
import { type Handle, native, TorchError } from '@mezzo/libtorch';
import { TensorHandle } from '../tensor/handle.ts';
import type { Tensor } from '../tensor/tensor.ts';

const abandoned = new FinalizationRegistry<Handle>((handle) => native().freeGenerator(handle));

const DEFAULT_SEED = 67280421310721n;

/**
 * A stream of random numbers of one device (torch.Generator). The CPU's is PyTorch's Mersenne Twister: equal
 * seeds give the numbers that Python gets. Random functions take it as `{ generator }`.
 */
export class Generator {
  /** @internal what the ops take */
  readonly generatorHandle: Handle;
  readonly device: string;

  constructor(device = 'cpu') {
    this.device = device;
    this.generatorHandle = native().newGenerator(device, DEFAULT_SEED);
    abandoned.register(this, this.generatorHandle, this);
  }

  /** Restarts the stream. Seeds are integers in [-2^63, 2^64); negative ones count from 2^64 down. */
  manualSeed(seed: number | bigint): this {
    native().generatorSeed(this.generatorHandle, seed64(seed));
    return this;
  }

  /** Restarts the stream from a seed of the system's entropy, and returns that seed. */
  seed(): bigint {
    const seed = getRandomValues(new BigUint64Array(1))[0]!;
    this.manualSeed(seed);
    return seed;
  }

  /** The seed the stream was started from. */
  initialSeed(): bigint {
    return seedOfState(native().generatorState(this.generatorHandle));
  }

  /** A copy of the whole state, as the bytes of PyTorch's state tensor. */
  getState(): Uint8Array {
    return native().generatorState(this.generatorHandle);
  }

  setState(state: Uint8Array | Tensor): this {
    native().setGeneratorState(this.generatorHandle, stateBytes(state));
    return this;
  }

  /** Frees the native generator now; later use is an error. */
  dispose(): void {
    abandoned.unregister(this);
    native().freeGenerator(this.generatorHandle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The 64 bits of a seed, as the signed number that crosses to LibTorch. @throws TorchError VALUE when it is not an integer in range */
export function seed64(seed: number | bigint): bigint {
  if (typeof seed === 'number' && !Number.isInteger(seed)) {
    throw new TorchError('VALUE', `manualSeed: the seed must be an integer, got ${seed}`);
  }
  const value = BigInt(seed);
  if (value < -(2n ** 63n) || value >= 2n ** 64n) {
    throw new TorchError('VALUE', `manualSeed: the seed must be in [-2^63, 2^64), got ${value}`);
  }
  return BigInt.asIntN(64, value);
}

/** The state of every generator kind begins with its 64-bit seed. */
export const seedOfState = (state: Uint8Array): bigint =>
  new DataView(state.buffer, state.byteOffset, state.byteLength).getBigUint64(0, true);

export const stateBytes = (state: Uint8Array | Tensor): Uint8Array =>
  state instanceof TensorHandle ? native().readBytes(state.handle) : state;
