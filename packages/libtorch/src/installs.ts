import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { installsFolder } from './folders.ts';

export type Variant = 'cpu' | 'cuda';

/** The receipt that `mezzo setup` leaves in a finished copy; a folder without one is not a copy. */
export interface Receipt {
  version: string;
  variant: Variant;
  /** When `mezzo setup` last chose this copy, ISO 8601. */
  chosenAt: string;
  /** SHA-256 of the pin file it was installed from. */
  pins: string;
  bytesOnDisk: number;
}

export interface Install extends Receipt {
  /** The folder given to `pip install --target`; LibTorch is its `torch`. */
  path: string;
}

export const RECEIPT = 'mezzo.json';

/** The receipt in a folder, or undefined. */
export function readReceipt(folder: string): Receipt | undefined {
  const file = path.join(folder, RECEIPT);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Receipt) : undefined;
}

/**
 * Mezzo's own finished copies, the one to use first: CUDA copies before CPU ones where a driver is present (a
 * home may be shared with machines without), then the one that setup chose last.
 */
export function listInstalls(driver: boolean, env: NodeJS.ProcessEnv = process.env): Install[] {
  const folder = installsFolder(env);
  if (!existsSync(folder)) return [];
  const installs = readdirSync(folder).flatMap((name): Install[] => {
    const place = path.join(folder, name);
    const receipt = name.startsWith('.') ? undefined : readReceipt(place);
    return receipt ? [{ ...receipt, path: place }] : [];
  });
  const rank = (install: Install) => (driver && install.variant === 'cuda' ? 0 : 1);
  return installs.sort((a, b) => rank(a) - rank(b) || (a.chosenAt < b.chosenAt ? 1 : -1));
}
