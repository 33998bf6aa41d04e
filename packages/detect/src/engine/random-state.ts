import { getRngState, setRngState } from '@mezzo/torch';
import type { DeviceName } from './device.ts';

/** States of LibTorch's generators that a run draws from, as base64, by device. */
export function randomStates(device: DeviceName): Record<string, string> {
  return Object.fromEntries(
    [...new Set(['cpu', device])].map((name) => [name, Buffer.from(getRngState(name)).toString('base64')]),
  );
}

export function restoreRandomStates(states: Readonly<Record<string, string>>): void {
  for (const [device, state] of Object.entries(states)) setRngState(Buffer.from(state, 'base64'), device);
}
