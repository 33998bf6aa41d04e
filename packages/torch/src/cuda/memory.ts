import { type CudaMemory, native } from '@mezzo/libtorch';
import { type CudaDevice, deviceIndex } from './device.ts';

/** Bytes of LibTorch's CUDA allocator. All throw TorchError CUDA_MISSING without CUDA. */

/** Everything the allocator knows of a device. */
export const memoryStats = (device?: CudaDevice): CudaMemory => native().cudaMemory(deviceIndex(device));

/** Bytes in live tensors. */
export const memoryAllocated = (device?: CudaDevice): number => memoryStats(device).allocated;

/** Most bytes in live tensors since the start or `resetPeakMemoryStats`. */
export const maxMemoryAllocated = (device?: CudaDevice): number => memoryStats(device).peakAllocated;

/** Bytes the allocator holds, free blocks included. */
export const memoryReserved = (device?: CudaDevice): number => memoryStats(device).reserved;

export const maxMemoryReserved = (device?: CudaDevice): number => memoryStats(device).peakReserved;

export const resetPeakMemoryStats = (device?: CudaDevice): void =>
  native().cudaResetPeak(deviceIndex(device));

/** Gives blocks that no tensor uses back to the driver. */
export const emptyCache = (device?: CudaDevice): void => native().cudaEmptyCache(deviceIndex(device));

/** Free and total bytes of the card, as the driver sees them. */
export function memGetInfo(device?: CudaDevice): [free: number, total: number] {
  const { free, total } = memoryStats(device);
  return [free, total];
}
