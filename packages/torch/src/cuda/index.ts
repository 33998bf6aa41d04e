export {
  type CudaDevice,
  deviceCount,
  getDeviceCapability,
  getDeviceName,
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
