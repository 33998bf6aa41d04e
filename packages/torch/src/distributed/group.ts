import { type NativeGroup, native } from '@mezzo/libtorch';
import { DistributedError } from './errors.ts';
import { seconds } from './opening.ts';
import { checkRank, type RendezvousOptions, rendezvous } from './rendezvous.ts';
import { noteVersions, ownVersions, requireSameVersions } from './same-versions.ts';
import { PrefixStore, type Store, TCPStore } from './store.ts';

/** 30 minutes, as PyTorch's. */
const DEFAULT_TIMEOUT = 1_800_000;

export interface InitProcessGroupOptions extends RendezvousOptions {
  /** Gloo, on CPU tensors, is the one there is. */
  backend?: 'gloo';
  /** `env://` (the default) or `tcp://host:port`. Not together with `store`. */
  initMethod?: string;
  rank?: number;
  worldSize?: number;
  /** Milliseconds for meeting and for every collective. */
  timeout?: number;
  /** Meets here instead of at an address; needs `rank` and `worldSize`. */
  store?: Store;
}

/** Processes that do collectives together. `ranks[i]` is the rank in the world of the group's rank i. */
export class ProcessGroup {
  /** @internal */
  readonly native: NativeGroup;
  readonly ranks: readonly number[];
  /** This process's rank in the group. */
  readonly rank: number;

  /** @internal */
  constructor(group: NativeGroup, ranks: readonly number[], rank: number) {
    this.native = group;
    this.ranks = ranks;
    this.rank = rank;
  }

  get size(): number {
    return this.ranks.length;
  }

  /** The rank in this group of a rank in the world. */
  rankOf(worldRank: number): number {
    const rank = this.ranks.indexOf(worldRank);
    if (rank >= 0) return rank;
    throw new DistributedError('VALUE', `rank ${worldRank} is not in the group of ${this.ranks.join(', ')}`);
  }
}

interface World {
  readonly group: ProcessGroup;
  readonly store: Store;
  readonly ownStore: Store | undefined;
  readonly timeout: number;
  readonly groups: ProcessGroup[];
  /** Groups made so far, on every rank alike: the name of the next. */
  made: number;
}

let world: World | undefined;
let beginning = false;

/** Whether this process is in a group. */
export const isInitialized = (): boolean => world !== undefined;

/** @internal */
export function defaultGroup(): ProcessGroup {
  return theWorld().group;
}

function theWorld(): World {
  if (world) return world;
  throw new DistributedError('DISTRIBUTED', 'no process group: await initProcessGroup() first');
}

/**
 * Meets the other processes; all must call it (torch.distributed.init_process_group). Processes of PyTorch may be
 * among them.
 * @throws DistributedError DISTRIBUTED_TIMEOUT naming the ranks that did not come, PORT_IN_USE, VALUE (also when the
 *   ranks have different versions of Mezzo or LibTorch), DISTRIBUTED
 */
export async function initProcessGroup(options: InitProcessGroupOptions = {}): Promise<void> {
  if (world || beginning) {
    throw new DistributedError('DISTRIBUTED', 'trying to initialize the default process group twice');
  }
  const { backend = 'gloo', timeout = DEFAULT_TIMEOUT } = options;
  if (backend !== 'gloo') {
    throw new DistributedError('VALUE', `backend: expected gloo, got ${String(backend)}`);
  }
  beginning = true;
  let own: Store | undefined;
  let base: Store | undefined;
  try {
    const { store, rank, worldSize } = await meet(options, timeout);
    if (store !== options.store) own = store;
    // The names that PyTorch gives, so that its processes and ours can be in one group.
    base = new PrefixStore('default_pg', store);
    const ranks = Array.from({ length: worldSize }, (_, i) => i);
    const versions = ownVersions();
    noteVersions(base, rank, versions);
    const group = await openGroup(base, 0, ranks, rank, timeout);
    try {
      await requireSameVersions(base, versions, group);
    } catch (error) {
      native().groupClose(group.native);
      throw error;
    }
    const groupStore = new PrefixStore('0/', base);
    world = { group, store: groupStore, ownStore: own, timeout, groups: [group], made: 1 };
  } catch (error) {
    own?.close();
    throw error;
  } finally {
    base?.close();
    beginning = false;
  }
}

async function meet(options: InitProcessGroupOptions, timeout: number) {
  if (options.store) {
    const { store, rank = -1, worldSize = 0 } = options;
    if (options.initMethod !== undefined) {
      throw new DistributedError('VALUE', 'initProcessGroup: initMethod and store exclude each other');
    }
    checkRank(rank, worldSize);
    return { store, rank, worldSize };
  }
  const { host, port, rank, worldSize } = rendezvous(options, process.env);
  const isMaster = rank === 0;
  // Rank 0 does not wait here: it could say how many came, but not which.
  const waitForWorkers = !isMaster;
  const store = await TCPStore.open({ host, port, worldSize, isMaster, timeout, waitForWorkers });
  return { store, rank, worldSize };
}

async function openGroup(
  base: Store,
  number: number,
  ranks: readonly number[],
  rank: number,
  timeout: number,
): Promise<ProcessGroup> {
  const store = new PrefixStore(`${number}/`, base);
  const joined = (other: number) => `mezzo/joined/${other}`;
  try {
    store.set(joined(rank), '');
    return new ProcessGroup(await native().groupOpen(store.native, rank, ranks.length, timeout), ranks, rank);
  } catch (cause) {
    const waited = `rank ${ranks[rank]} of ${ranks.length} waited`;
    const missing = askMissing(cause, waited, () =>
      ranks.filter((_, other) => !store.check([joined(other)])),
    );
    if (missing.length === 0) throw cause;
    throw new DistributedError(
      'DISTRIBUTED_TIMEOUT',
      `${waited} ${seconds(timeout)} for rank ${missing.join(', ')}`,
      { hint: 'start every rank, with the same address, port and world size', cause },
    );
  } finally {
    store.close();
  }
}

/** Asks the store who is missing; it may have ended with rank 0, which waited as long. */
function askMissing(cause: unknown, waited: string, ask: () => number[]): number[] {
  try {
    return ask();
  } catch {
    throw new DistributedError('DISTRIBUTED_PEER_LOST', `${waited} for the others, and rank 0 has ended`, {
      hint: "rank 0's own error says why",
      cause,
    });
  }
}

/**
 * A group of some of the processes, given by their ranks in the world. Every process of the world must call it, in the
 * same order; those outside get undefined.
 */
export async function newGroup(
  ranks: readonly number[] = defaultGroup().ranks,
  options: { timeout?: number } = {},
): Promise<ProcessGroup | undefined> {
  const { group, store, timeout, groups } = theWorld();
  for (const rank of ranks) checkRank(rank, group.size);
  if (new Set(ranks).size !== ranks.length || ranks.length === 0) {
    throw new DistributedError('VALUE', `newGroup: expected different ranks, got [${ranks.join(', ')}]`);
  }
  const members = [...ranks].sort((a, b) => a - b);
  const number = theWorld().made++;
  if (!members.includes(group.rank)) return undefined;
  const made = await openGroup(
    store,
    number,
    members,
    members.indexOf(group.rank),
    options.timeout ?? timeout,
  );
  groups.push(made);
  return made;
}

/** Leaves all groups. Collectives must be done; the process that serves the store should be the last to leave. */
export function destroyProcessGroup(): void {
  const { groups, store, ownStore } = theWorld();
  for (const group of groups) native().groupClose(group.native);
  store.close();
  ownStore?.close();
  world = undefined;
}

/** This process's rank in a group, by default in the world. */
export const getRank = (group: ProcessGroup = defaultGroup()): number => group.rank;

/** How many processes a group has, by default the world. */
export const getWorldSize = (group: ProcessGroup = defaultGroup()): number => group.size;
