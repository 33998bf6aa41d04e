import { type Handle, native } from '@mezzo/libtorch';
import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { seed64, seedOfState, stateBytes } from './generator.ts';

/** The native table holds a default generator as long as the process lives: one slot per device. */
const defaults = new Map<string, Handle>();

function defaultGenerator(device: string): Handle {
  let generator = defaults.get(device);
  if (generator === undefined) {
    generator = native().defaultGenerator(device);
    defaults.set(device, generator);
  }
  return generator;
}

/** Seeds the default generators of the CPU and of every CUDA device (torch.manual_seed). */
export function manualSeed(seed: number | bigint): void {
  native().manualSeed(seed64(seed));
}

/** The seed that the default generator of the device was last started from. */
export const initialSeed = (device = 'cpu'): bigint => seedOfState(getRngState(device));

/** A copy of the state of the device's default generator (torch.get_rng_state), as bytes. */
export function getRngState(device = 'cpu'): Uint8Array {
  return native().generatorState(defaultGenerator(device));
}

/** Puts back what `getRngState` gave; a uint8 tensor of PyTorch works too. */
export function setRngState(state: Uint8Array | Tensor, device = 'cpu'): void {
  native().setGeneratorState(defaultGenerator(device), stateBytes(state));
}

/** The states of the default generators of the CPU and of all CUDA devices, by device. */
export type RngStates = ReadonlyMap<string, Uint8Array>;

export function rngStates(): RngStates {
  const devices = ['cpu', ...Array.from({ length: native().cudaDeviceCount() }, (_, i) => `cuda:${i}`)];
  return new Map(devices.map((device) => [device, getRngState(device)]));
}

function setRngStates(states: RngStates): void {
  for (const [device, state] of states) setRngState(state, device);
}

/**
 * Runs `fn` and puts the default generators of the CPU and of all CUDA devices back as they were before
 * (torch.random.fork_rng).
 * @throws TorchError ASYNC_REGION when `fn` is async
 */
export function forkRng<T>(fn: () => T): T {
  refuseAsync('forkRng', fn);
  const states = rngStates();
  try {
    const result = fn();
    refusePromise('forkRng', result);
    return result;
  } finally {
    setRngStates(states);
  }
}

/** `forkRng` with the generators set to these states first. */
export const withRngStates = <T>(states: RngStates, fn: () => T): T =>
  forkRng(() => {
    setRngStates(states);
    return fn();
  });
