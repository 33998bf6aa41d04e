import type { TrainEvent } from '@mezzo/detect';
import type { TrainOptions } from '@mezzo/detect/config';

/** What the supervisor has a rank do. */
export interface Order {
  readonly model: string;
  readonly options: TrainOptions;
  /** Seconds. */
  readonly timeout: number;
}

export interface RankFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Of a defect: where it is. */
  readonly stack?: string | undefined;
}

/** What a rank tells its supervisor. */
export type RankMessage = { event: TrainEvent } | { failure: RankFailure } | { done: true };
