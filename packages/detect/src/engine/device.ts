import { idlestGpu, MezzoError, native } from '@mezzo/libtorch';

/** A device by LibTorch's name: `cpu` or `cuda:0`. */
export type DeviceName = string;

/**
 * The device that the `device` option names: null is the first CUDA device, or the CPU when there is none; -1 the CUDA
 * device with the least memory in use.
 * @throws {MezzoError} NO_SUCH_DEVICE
 */
export function selectDevice(setting: string | null): DeviceName {
  if (setting === null) return native().cudaAvailable() ? 'cuda:0' : 'cpu';
  if (setting === 'cpu') return 'cpu';
  const count = native().cudaDeviceCount();
  const index = setting === '-1' ? (idlestGpu() ?? 0) : Number(setting.replace(/^cuda:?/, '') || 0);
  if (index < count) return `cuda:${index}`;
  const found =
    count === 0
      ? 'LibTorch sees no CUDA device'
      : `LibTorch sees ${count} CUDA device${count === 1 ? '' : 's'}`;
  throw new MezzoError('NO_SUCH_DEVICE', `device=${setting}: ${found}`, {
    hint: 'mezzo doctor says what was found and why; device=cpu always works',
  });
}

export function deviceType(device: DeviceName): 'cpu' | 'cuda' {
  return device === 'cpu' ? 'cpu' : 'cuda';
}

export function deviceIndex(device: DeviceName): number {
  return Number(device.split(':')[1] ?? 0);
}
