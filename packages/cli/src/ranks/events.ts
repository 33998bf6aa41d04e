import type { TrainEvent } from '@mezzo/detect';

/** Of a rank that is not the first: pictures that it cannot use, and the like. */
export const warningsOnly =
  (onEvent: (event: TrainEvent) => void) =>
  (event: TrainEvent): void => {
    if (event.event === 'message') onEvent(event);
  };
