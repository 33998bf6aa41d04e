import { type AmpDevice, ampDefault, native, thisCpu } from '@mezzo/libtorch';
import { type DeviceName, deviceIndex, deviceType } from './device.ts';

/** The precision of a run: a value, decided once, that every step reads. */
export interface RunPrecision {
  /** Whether forward runs under autocast. */
  readonly enabled: boolean;
  /** What eligible ops run in; `float32` when autocast is off. */
  readonly dtype: 'float16' | 'bfloat16' | 'float32';
  /** Whether the loss is scaled. */
  readonly scaler: boolean;
  readonly channelsLast: boolean;
  /** Why, as a sentence fragment. */
  readonly reason: string;
  /** What the user should know, when the choice has a price. */
  readonly warning?: string;
}

export type AmpSetting = boolean | 'fp16' | 'bf16' | 'fp32';

const CHOSEN = {
  fp16: { enabled: true, dtype: 'float16', scaler: true },
  bf16: { enabled: true, dtype: 'bfloat16', scaler: false },
  fp32: { enabled: false, dtype: 'float32', scaler: false },
} as const;

/**
 * What `amp=` means on a device. `channelsLast` is the option of that name: null is yes whenever autocast is on,
 * because oneDNN's and cuDNN's low-precision convolutions want it.
 */
export function choosePrecision(
  amp: AmpSetting,
  device: DeviceName,
  channelsLast: boolean | null,
): RunPrecision {
  const place = describeDevice(device);
  const automatic = ampDefault(place);
  const name = amp === true ? automatic.precision : amp === false ? 'fp32' : amp;
  const chosen = CHOSEN[name];
  const reason = amp === true ? automatic.reason : amp === false ? 'amp=false' : `amp=${amp}`;
  const warning = amp === true ? undefined : priceOf(name, place);
  return {
    ...chosen,
    channelsLast: channelsLast ?? chosen.enabled,
    reason,
    ...(warning === undefined ? {} : { warning }),
  };
}

/** What `half=` means on a device: fp16 on a CUDA device, bf16 on a CPU that computes in it natively, else fp32. */
export function inferencePrecision(half: boolean, device: DeviceName): RunPrecision {
  const onCpu = deviceType(device) === 'cpu';
  const chosen = choosePrecision(half && (onCpu || 'fp16'), device, null);
  if (!half || chosen.enabled) return chosen;
  return { ...chosen, warning: `half=true: the network runs in fp32, because ${chosen.reason}` };
}

function describeDevice(device: DeviceName): AmpDevice {
  if (deviceType(device) === 'cuda')
    return { type: 'cuda', capability: native().cudaCapability(deviceIndex(device)) };
  const { bf16, because } = thisCpu();
  return { type: 'cpu', bf16, because };
}

function priceOf(name: keyof typeof CHOSEN, device: AmpDevice): string | undefined {
  if (device.type === 'cpu') {
    if (name === 'fp16') return 'amp=fp16 on a CPU is exact but slow; amp=bf16 or amp=false are faster';
    if (name === 'bf16' && !device.bf16) return `amp=bf16 will be emulated and slow: ${device.because}`;
    return undefined;
  }
  const capability = device.capability.join('.');
  if (name === 'fp16' && device.capability[0] < 7) {
    return `amp=fp16 saves memory but not time: compute capability ${capability} has no Tensor Cores`;
  }
  if (name === 'bf16' && device.capability[0] < 8) {
    return `amp=bf16 is emulated and slow on compute capability ${capability} (8.0 and newer have it); amp=fp16 is faster`;
  }
  return undefined;
}
