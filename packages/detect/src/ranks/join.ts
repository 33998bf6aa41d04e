import { distributed } from '@mezzo/torch';
import { ProcessRanks } from './process-ranks.ts';
import { ALONE, type Ranks } from './ranks.ts';

/** Which process of a job this is, and where all of them meet. */
export interface Place {
  readonly rank: number;
  readonly size: number;
  /** Which of the job's processes on this host. */
  readonly localRank: number;
  /** How many of them are on this host. */
  readonly localSize: number;
  readonly host: string;
  readonly port: number;
}

/**
 * Meets the other processes of a job; trainings in this process are shared with theirs from then on.
 * @param timeout seconds that a rank waits for the others, here and in every exchange
 * @throws DistributedError DISTRIBUTED_TIMEOUT, DISTRIBUTED_PEER_LOST, PORT_IN_USE
 */
export async function joinRanks({ host, port, rank, size }: Place, timeout: number): Promise<void> {
  const initMethod = `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`;
  await distributed.initProcessGroup({ initMethod, rank, worldSize: size, timeout: timeout * 1000 });
}

/** Leaves the job, once all of its processes have come to the end. */
export async function leaveRanks(): Promise<void> {
  await distributed.barrier({ asyncOp: true }).waitAsync();
  distributed.destroyProcessGroup();
}

/** The ranks that this process trains with: those of its process group, if it is in one. */
export const ranksHere = (): Ranks => (distributed.isInitialized() ? new ProcessRanks() : ALONE);
