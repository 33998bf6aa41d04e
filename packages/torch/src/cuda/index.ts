export {
  type CudaDevice,
  deviceCount,
  getDeviceCapability,
  getDeviceName,
  isAvailable,
  isBf16Supported,
  synchronize,
} from './device.ts';
export { Event } from './event.ts';
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
