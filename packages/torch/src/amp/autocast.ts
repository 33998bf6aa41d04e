import { type DType, native } from '@mezzo/libtorch';
import { didYouMean } from '@mezzo/libtorch/nearest';
import { refuseAsync, refusePromise } from '../autograd/synchronous.ts';
import { isAvailable as cudaIsAvailable, isBf16Supported } from '../cuda/device.ts';
import { isDType } from '../tensor/dtype.ts';
import { warn } from '../warning.ts';
import { AmpError } from './errors.ts';
import { type AutocastDevice, countRegion, noteOutermost } from './state.ts';

export interface AutocastOptions {
  /** Whose operations are cast. Default: 'cuda' when there is a GPU, else 'cpu'. */
  device?: AutocastDevice;
  /** 'bfloat16' or 'float16'. Default: bfloat16 on the CPU, float16 on CUDA. */
  dtype?: DType;
  /** false makes a region without casts, also inside another one. */
  enabled?: boolean;
  /** Keep the casts of weights until the outermost region ends. Default: as in the enclosing region. */
  cache?: boolean;
}

const LOW_DTYPES: readonly DType[] = ['bfloat16', 'float16'];

/**
 * Runs `fn` with automatic mixed precision (torch.autocast) and returns its result: inside, each listed
 * operation casts its float inputs to the low dtype, or to float32 where the range is needed. Which ones is
 * LibTorch's own list for the device. Parameters stay as they are.
 *
 * The region is a property of the thread, so `fn` is synchronous. Run forward pass and loss inside, backward
 * and the optimizer's step outside.
 * @throws TorchError ASYNC_REGION when `fn` is async
 * @throws AmpError VALUE for an unknown device or dtype or when `fn` is no function, RUNTIME for bfloat16 on a
 *   GPU that has none
 */
export function autocast<T>(fn: () => T): T;
export function autocast<T>(options: AutocastOptions, fn: () => T): T;
export function autocast<T>(first: AutocastOptions | (() => T), second?: () => T): T {
  const [options, fn] = typeof first === 'function' ? [{}, first] : [first, second!];
  requireFunction(fn);
  refuseAsync('autocast', fn);
  const region = resolve(options);
  const leave = enter(region);
  try {
    const result = fn();
    refusePromise('autocast', result);
    return result;
  } finally {
    leave();
  }
}

/**
 * `fn` as a function that always runs in such a region (the decorator form of torch.autocast).
 * @throws TorchError ASYNC_REGION, AmpError VALUE at once when `fn` is async or no function
 */
export function autocasted<A extends unknown[], T>(
  options: AutocastOptions,
  fn: (...args: A) => T,
): (...args: A) => T {
  requireFunction(fn);
  refuseAsync('autocast', fn);
  return (...args) => autocast(options, () => fn(...args));
}

function requireFunction(fn: unknown): void {
  if (typeof fn === 'function') return;
  const given = fn === null ? 'null' : typeof fn;
  throw new AmpError('VALUE', `autocast: expected a function to run, got ${given}`);
}

interface Region {
  device: AutocastDevice;
  dtype: DType;
  enabled: boolean;
  cache: boolean;
}

function resolve(options: AutocastOptions): Region {
  const device = options.device ?? (cudaIsAvailable() ? 'cuda' : 'cpu');
  if (device !== 'cpu' && device !== 'cuda') {
    const given = typeof device === 'string' ? `'${String(device)}'` : `of type ${typeof device}`;
    throw new AmpError('VALUE', `autocast: unknown device ${given}; expected 'cpu' or 'cuda'`);
  }
  if (options.dtype !== undefined && !isDType(options.dtype)) throw unknownDType(options.dtype);
  const torch = native();
  const dtype = options.dtype ?? torch.autocastDtype(device);
  const enabled = (options.enabled ?? true) && supported(device, dtype);
  return { device, dtype, enabled, cache: options.cache ?? torch.autocastCacheEnabled() };
}

const unknownDType = (dtype: unknown): AmpError =>
  new AmpError(
    'VALUE',
    `autocast: unknown dtype '${String(dtype)}'; expected 'bfloat16' or 'float16'` +
      didYouMean(String(dtype), LOW_DTYPES),
  );

/** @throws AmpError where PyTorch raises; false, with its warning, where PyTorch disables the region */
function supported(device: AutocastDevice, dtype: DType): boolean {
  if (device === 'cuda') {
    if (!cudaIsAvailable()) {
      warn('CUDA_UNAVAILABLE', 'CUDA is not available or torch_xla is imported. Disabling autocast.');
      return false;
    }
    if (dtype === 'bfloat16' && !isBf16Supported()) {
      throw new AmpError(
        'RUNTIME',
        'Current CUDA Device does not support bfloat16. Please switch dtype to float16.',
      );
    }
    return true;
  }
  if (LOW_DTYPES.includes(dtype)) return true;
  warn(
    'UNSUPPORTED_DTYPE',
    'In CPU autocast, but the target dtype is not supported. Disabling autocast.\n' +
      'CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.',
  );
  return false;
}

/** Sets the thread's state and returns what puts it back, both in PyTorch's order. */
function enter({ device, dtype, enabled, cache }: Region): () => void {
  const torch = native();
  const previousCache = torch.autocastCacheEnabled();
  const previousEnabled = torch.autocastEnabled(device);
  const previousDtype = torch.autocastDtype(device);
  const leave = () => {
    countRegion(enabled, -1);
    if (torch.autocastDecrement() === 0) torch.clearAutocastCache();
    torch.setAutocastEnabled(device, previousEnabled);
    torch.setAutocastDtype(device, previousDtype);
    torch.setAutocastCacheEnabled(previousCache);
  };
  torch.setAutocastEnabled(device, enabled);
  torch.setAutocastDtype(device, dtype);
  torch.autocastIncrement();
  torch.setAutocastCacheEnabled(cache);
  countRegion(enabled, 1);
  if (enabled) noteOutermost(dtype);
  return leave;
}
