import { hostname } from 'node:os';
import { joinRanks, leaveRanks, type Place, type TrainEvent, type YOLO } from '@mezzo/detect';
import type { TrainOptions } from '@mezzo/detect/config';
import { MezzoError } from '@mezzo/libtorch/errors';

export interface RankTraining {
  readonly model: YOLO;
  readonly options: TrainOptions;
  /** Seconds that this rank waits for the others. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: TrainEvent) => void;
}

/** Trains as one rank of a job. What fails between the ranks is told with the place where it did. */
export async function trainRank(place: Place, training: RankTraining): Promise<void> {
  const { model, options, timeout, signal, onEvent } = training;
  let step = 'before the first step';
  try {
    await joinRanks(place, timeout);
    const follow = (event: TrainEvent) => {
      if (event.event === 'step') {
        step = `epoch ${event.epoch} of ${event.epochs}, after step ${event.step} of ${event.steps}`;
      }
      onEvent(event);
    };
    await model.train({ ...options, signal, onEvent: follow });
    await leaveRanks();
  } catch (error) {
    if (!(error instanceof MezzoError) || !error.code.startsWith('DISTRIBUTED')) throw error;
    const message = `rank ${place.rank} of ${place.size} on ${hostname()}, ${step}: ${error.message}`;
    const { hint } = error;
    throw new MezzoError(error.code, message, { ...(hint === undefined ? {} : { hint }), cause: error });
  }
}
