import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '@mezzo/libtorch';
import { DistributedError } from './errors.ts';
import type { Store } from './store.ts';

/** What ranks must have in common, by name. */
export type Versions = Readonly<Record<string, string>>;

/** How long the rank that serves the store waits for the others to read why they end. */
const TELLING_MS = 5000;

export function ownVersions(): Versions {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  // Builds for other devices have the same numerics of c10d and of the CPU.
  return { Mezzo: version, LibTorch: native().buildInfo().version.replace(/\+.*$/, '') };
}

const keyOf = (rank: number) => `mezzo/versions/${rank}`;
const ALL = 'mezzo/versions';
const TOLD = 'mezzo/versions/told';
const equalTo = (versions: Versions) => `mezzo/versions/${JSON.stringify(versions)}`;

/** To be called before the ranks meet. */
export function noteVersions(store: Store, rank: number, versions: Versions): void {
  store.set(keyOf(rank), JSON.stringify(versions));
  store.add(equalTo(versions), 1);
  store.add(ALL, 1);
}

/**
 * Compares what the ranks have noted, once all have; a process of PyTorch notes nothing. All throw alike.
 * @throws DistributedError VALUE with both sides of the first difference
 */
export async function requireSameVersions(
  store: Store,
  versions: Versions,
  { rank, size }: { rank: number; size: number },
): Promise<void> {
  const noted = store.add(ALL, 0);
  if (store.add(equalTo(versions), 0) === noted) return;
  const difference = await findDifference(store, size);
  store.add(TOLD, 1);
  // The store ends with rank 0.
  const deadline = Date.now() + TELLING_MS;
  while (rank === 0 && store.add(TOLD, 0) < noted && Date.now() < deadline) await sleep(10);
  throw new DistributedError('VALUE', difference, { hint: 'install the same versions for every rank' });
}

async function findDifference(store: Store, size: number): Promise<string> {
  let first: { rank: number; versions: Versions } | undefined;
  for (let rank = 0; rank < size; rank++) {
    if (!store.check([keyOf(rank)])) continue;
    const versions = JSON.parse(new TextDecoder().decode(await store.get(keyOf(rank)))) as Versions;
    first ??= { rank, versions };
    for (const [name, version] of Object.entries(first.versions)) {
      if (versions[name] === version) continue;
      return `${name} is ${version} on rank ${first.rank}, ${versions[name] ?? 'unknown'} on rank ${rank}`;
    }
  }
  return 'the ranks have different versions';
}
