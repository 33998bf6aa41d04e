import type { StartEvent, TrainEvent } from '@mezzo/detect';
import type { Terminal } from './terminal.ts';
import { adviceLine } from './training-view.ts';

/** Writes a training run as JSON lines: one object an event. Sentences for the user go to the error stream. */
export class TrainingLines {
  readonly #terminal: Terminal;
  #start: StartEvent | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** The start event of the run, once there was one. */
  get start(): StartEvent | undefined {
    return this.#start;
  }

  show(event: TrainEvent): void {
    if (event.event === 'step' || event.event === 'valStep') return;
    if (event.event === 'message') {
      this.#terminal.note(event.text);
      return;
    }
    if (event.event === 'advice') {
      this.#terminal.note(adviceLine(event));
      return;
    }
    if (event.event === 'start') this.#start = event;
    this.#terminal.print(JSON.stringify(event, finite));
  }
}

/** JSON has no NaN and no infinity; a loss that is one becomes null. */
function finite(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}
