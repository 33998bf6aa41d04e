import { type DType, native } from '@mezzo/libtorch';
import { autocast } from './autocast.ts';
import type { AutocastDevice } from './state.ts';

const DEVICES: readonly AutocastDevice[] = ['cpu', 'cuda'];

/** The autocast settings of every device, to run something later as if it ran now. */
export type AutocastState = readonly {
  device: AutocastDevice;
  enabled: boolean;
  dtype: DType;
  cache: boolean;
}[];

export function autocastState(): AutocastState {
  const torch = native();
  const cache = torch.autocastCacheEnabled();
  return DEVICES.map((device) => ({
    device,
    enabled: torch.autocastEnabled(device),
    dtype: torch.autocastDtype(device),
    cache,
  }));
}

export function withAutocastState<T>(state: AutocastState, fn: () => T): T {
  return state.reduce<() => T>((inner, region) => () => autocast(region, inner), fn)();
}

/** Runs `fn` with autocast off for every device, without a region: casts that are cached stay. */
export function withoutAutocast<T>(fn: () => T): T {
  const torch = native();
  const enabled = DEVICES.filter((device) => torch.autocastEnabled(device));
  for (const device of enabled) torch.setAutocastEnabled(device, false);
  try {
    return fn();
  } finally {
    for (const device of enabled) torch.setAutocastEnabled(device, true);
  }
}
