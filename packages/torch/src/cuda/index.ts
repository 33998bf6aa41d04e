export {
  type CudaDevice,
  deviceCount,
  getDeviceCapability,
  isAvailable,
  isBf16Supported,
  synchronize,
} from './device.ts';
export {
  emptyCache,
  maxMemoryAllocated,
  maxMemoryReserved,
  memGetInfo,
  memoryAllocated,
  memoryReserved,
  memoryStats,
  resetPeakMemoryStats,
} from './memory.ts';
