import { type DType, native } from '@mezzo/libtorch';
import { AmpError } from './errors.ts';

/** Devices that have an autocast of their own. */
export type AutocastDevice = 'cpu' | 'cuda';

/** Enclosing regions of this thread that are on; LibTorch's own state is per thread as well. */
let enabledRegions = 0;

/** @internal */
export function countRegion(enabled: boolean, change: 1 | -1): void {
  if (enabled) enabledRegions += change;
}

/** The low dtype of the last outermost region that was on: what the loss at hand was computed in. */
let outermostDtype: DType | null = null;

/** @internal */
export function noteOutermost(dtype: DType): void {
  if (enabledRegions === 1) outermostDtype = dtype;
}

/** @internal Told once: a region long ago says nothing of the next loss. */
export function takeOutermostDtype(): DType | null {
  const dtype = outermostDtype;
  outermostDtype = null;
  return dtype;
}

export const isAutocastEnabled = (device: AutocastDevice): boolean => native().autocastEnabled(device);

/** The dtype that `autocast` casts to on this device when none is named. */
export const getAutocastDtype = (device: AutocastDevice): DType => native().autocastDtype(device);

/**
 * Inside a region the weights' casts are cached, so a step taken there would go on with stale weights.
 * @throws AmpError INSIDE_AUTOCAST
 */
export function refuseInsideAutocast(what: string): void {
  if (enabledRegions > 0) throw insideAutocast(what);
}

/**
 * Backward under autocast runs in the wrong dtype on other threads (pytorch#105682); an inner region with
 * `enabled: false` is fine.
 * @throws AmpError INSIDE_AUTOCAST
 */
export function refuseUnderAutocast(what: string): void {
  if (enabledRegions > 0 && (isAutocastEnabled('cpu') || isAutocastEnabled('cuda'))) {
    throw insideAutocast(what);
  }
}

const insideAutocast = (what: string) =>
  new AmpError('INSIDE_AUTOCAST', `${what} was called inside an autocast region`, {
    hint: 'end the region after the forward pass and the loss; call backward and step outside',
  });
