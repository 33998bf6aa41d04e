import { native, TorchError } from '@mezzo/libtorch';

/** A GPU: its number, 'cuda:1', or nothing for the first one. */
export type CudaDevice = number | string;

/** @internal The number of the device. @throws TorchError BAD_ARGUMENT */
export function deviceIndex(device: CudaDevice = 0): number {
  if (typeof device === 'number') return device;
  const match = /^cuda(?::(\d+))?$/.exec(device);
  if (match === null) throw new TorchError('BAD_ARGUMENT', `Expected a cuda device, but got: ${device}`);
  return Number(match[1] ?? 0);
}

/** Whether there is a GPU that this LibTorch can use. Never throws. */
export const isAvailable = (): boolean => native().cudaAvailable();

/** Number of usable GPUs; 0 without CUDA. */
export const deviceCount = (): number => native().cudaDeviceCount();

/** [major, minor], for example [9, 0]. @throws TorchError CUDA_MISSING */
export const getDeviceCapability = (device?: CudaDevice): [number, number] =>
  native().cudaCapability(deviceIndex(device));

/** The name of the card, for example 'NVIDIA H200'. @throws TorchError CUDA_MISSING */
export const getDeviceName = (device?: CudaDevice): string => native().cudaName(deviceIndex(device));

/** Waits until the device has done all that was queued. @throws TorchError CUDA_MISSING */
export const synchronize = (device?: CudaDevice): void => native().cudaSynchronize(deviceIndex(device));

/**
 * Whether the first GPU computes in bfloat16. Older cards than capability 8.0 emulate it, slowly and through
 * float32, which counts unless `includingEmulation` is false.
 */
export function isBf16Supported({ includingEmulation = true } = {}): boolean {
  if (!isAvailable()) return false;
  return includingEmulation || getDeviceCapability()[0] >= 8;
}
