import { amp, autocast } from '@mezzo/torch';

/**
 * Runs `fn` with autocast off: inputs keep their dtype. An fp32 island is this plus a cast of what comes in;
 * it is used instead of the op lists because those differ between devices and LibTorch versions.
 * @param device of the tensors that `fn` works on: `cpu`, `cuda:0`
 */
export function withoutAutocast<T>(device: string, fn: () => T): T {
  const type = device.startsWith('cuda') ? 'cuda' : 'cpu';
  return amp.isAutocastEnabled(type) ? autocast({ device: type, enabled: false }, fn) : fn();
}
