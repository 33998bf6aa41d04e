import { native } from '@mezzo/libtorch';

/** 'cuda:0' → 'CUDA', the dispatch key of the device's kernels. */
const dispatchKey = (device: string): string => device.replace(/:\d+$/, '').toUpperCase();

const registered = new Map<string, boolean>();

/**
 * Whether this LibTorch has a kernel of the op (the overload without a name) for the device, by its own
 * registration table. Which dtypes the kernel takes, the table does not say.
 */
export function hasKernel(opName: string, device: string): boolean {
  const key = `${opName} ${dispatchKey(device)}`;
  let answer = registered.get(key);
  if (answer === undefined) {
    answer = native().hasKernel(native().lookup(opName, '').id, dispatchKey(device));
    registered.set(key, answer);
  }
  return answer;
}
