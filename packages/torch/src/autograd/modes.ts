import { native } from '@mezzo/libtorch';
import { refuseAsync, refusePromise } from './synchronous.ts';

/** Runs `fn` without recording gradients (torch.no_grad). */
export const noGrad = <T>(fn: () => T): T => withGradMode('noGrad', false, fn);

/** Runs `fn` with gradient recording, also inside `noGrad` (torch.enable_grad). */
export const enableGrad = <T>(fn: () => T): T => withGradMode('enableGrad', true, fn);

export const isGradEnabled = (): boolean => native().gradEnabled();

/**
 * Runs `fn` in inference mode (torch.inference_mode): faster than `noGrad`, but the tensors made in it can
 * never take part in autograd.
 */
export function inferenceMode<T>(fn: () => T): T {
  refuseAsync('inferenceMode', fn);
  const torch = native();
  const token = torch.inferenceEnter(true);
  try {
    const result = fn();
    refusePromise('inferenceMode', result);
    return result;
  } finally {
    torch.inferenceExit(token);
    dropCasts();
  }
}

function withGradMode<T>(name: string, enabled: boolean, fn: () => T): T {
  refuseAsync(name, fn);
  const previous = setGradMode(enabled);
  try {
    const result = fn();
    refusePromise(name, result);
    return result;
  } finally {
    setGradMode(previous);
  }
}

function setGradMode(enabled: boolean): boolean {
  const torch = native();
  const previous = torch.gradEnabled();
  if (previous !== enabled) {
    torch.setGradEnabled(enabled);
    dropCasts();
  }
  return previous;
}

/**
 * A weight cast that autocast cached without gradient would cut the weight off from backward when gradients
 * are on again (pytorch#112583), so a flip inside an autocast region drops the cache.
 */
function dropCasts(): void {
  const torch = native();
  if (torch.autocastNesting() > 0) torch.clearAutocastCache();
}
