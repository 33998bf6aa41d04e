import type { TrainingState } from './checkpoint.ts';

/** Where a run stands: the part of its checkpoint that changes as it goes. */
export type Position = Pick<
  TrainingState,
  | 'epoch'
  | 'epochs'
  | 'batch'
  | 'lastStep'
  | 'steps'
  | 'skipped'
  | 'skippedInARow'
  | 'hopeless'
  | 'observers'
  | 'best'
  | 'seconds'
  | 'losses'
>;

/** At the beginning. */
export const START: Omit<Position, 'epochs'> = {
  epoch: 0,
  batch: 0,
  lastStep: -1,
  steps: 0,
  skipped: 0,
  best: { epoch: 0, fitness: 0, map50: 0, map: 0 },
  seconds: 0,
  losses: { sums: [0, 0, 0], batches: 0 },
};

/**
 * A position of a run whose batch was another one, in its batches now: about as many pictures of the epoch are done.
 * @param sizes pictures of a batch before and now, and batches of an epoch now
 */
export function inBatchesOf(
  at: Position,
  { before, now, batches }: { before: number; now: number; batches: number },
): Position {
  const batch = now === before ? at.batch : Math.floor((at.batch * before) / now);
  // The number of the last step counts batches too; none may lie ahead, also where ranks share an epoch otherwise.
  return { ...at, batch, lastStep: Math.min(at.lastStep, at.epoch * batches + batch - 1) };
}
