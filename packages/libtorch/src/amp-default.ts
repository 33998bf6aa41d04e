/** A precision as the `amp` option names it. */
export type Precision = 'fp16' | 'bf16' | 'fp32';

/** What `amp=true` means on a device. */
export interface AmpDefault {
  precision: Precision;
  dtype: 'float16' | 'bfloat16' | 'float32';
  /** Whether the loss scaler is on. */
  scaler: boolean;
  /** Why, as a sentence fragment for the log and the start event. */
  reason: string;
}

/** A device as the rule sees it. */
export type AmpDevice =
  | { type: 'cuda'; capability: readonly [major: number, minor: number] }
  | { type: 'cpu'; bf16: boolean; because: string };

const FP16: Omit<AmpDefault, 'reason'> = { precision: 'fp16', dtype: 'float16', scaler: true };
const BF16: Omit<AmpDefault, 'reason'> = { precision: 'bf16', dtype: 'bfloat16', scaler: false };
const FP32: Omit<AmpDefault, 'reason'> = { precision: 'fp32', dtype: 'float32', scaler: false };

/**
 * The meaning of `amp=true`: fp16 with the loss scaler on CUDA capability 7.0 and newer (Tensor Cores), bf16
 * on a CPU with native bf16, fp32 elsewhere. `capability` and `bf16` come from the device, see `thisCpu`.
 */
export function ampDefault(device: AmpDevice): AmpDefault {
  if (device.type === 'cuda') {
    const capability = device.capability.join('.');
    return device.capability[0] >= 7
      ? { ...FP16, reason: `compute capability ${capability} has Tensor Cores for fp16` }
      : { ...FP32, reason: `compute capability ${capability} has no Tensor Cores (7.0 and newer have)` };
  }
  return device.bf16
    ? { ...BF16, reason: `this CPU computes in bf16 natively (${device.because})` }
    : { ...FP32, reason: `this CPU has no native bf16 (${device.because})` };
}
