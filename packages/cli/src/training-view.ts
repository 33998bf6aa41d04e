import type {
  AdviceEvent,
  DoneEvent,
  EpochEvent,
  SkipEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
} from '@mezzo/detect';
import { counted, general, grouped } from './number-format.ts';
import { ProgressBar } from './progress.ts';
import type { Terminal } from './terminal.ts';
import { type EpochColumns, epochHeader, epochRow, phasesLine, TrainingLine } from './training-columns.ts';
import {
  speedLine,
  tableWidths,
  validationHeader,
  validationRow,
  validationTable,
} from './validation-table.ts';

const PRECISION: Readonly<Record<string, string>> = { float16: 'fp16', bfloat16: 'bf16', float32: 'fp32' };

/** Shows a training run: bars and Ultralytics' tables to a person, one line an epoch to a log. */
export class TrainingView {
  readonly #terminal: Terminal;
  readonly #perClass: boolean;
  #bar: ProgressBar | undefined;
  #start: StartEvent | undefined;
  /** Of the epoch in progress. */
  #line: TrainingLine | undefined;
  /** null before the first line for a log. */
  #columns: EpochColumns | null = null;
  #epoch = 0;

  /** @param perClass the results of each class at the end */
  constructor(terminal: Terminal, perClass: boolean) {
    this.#terminal = terminal;
    this.#perClass = perClass;
  }

  /** The start event of the run, once there was one. */
  get start(): StartEvent | undefined {
    return this.#start;
  }

  /** The epoch that is being trained, 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  readonly show = (event: TrainEvent): void => {
    switch (event.event) {
      case 'start':
        this.#showStart(event);
        break;
      case 'step':
        this.#showStep(event);
        break;
      case 'valStep':
        this.#bar?.update('Validating', event.step, event.steps);
        break;
      case 'epoch':
        this.#showEpoch(event);
        break;
      case 'done':
        this.#showDone(event);
        break;
      case 'message': {
        const mark = event.level === 'warning' ? `${this.#terminal.yellow('warning:')} ` : '';
        this.#terminal.note(mark + event.text);
        break;
      }
      case 'precision': {
        const layer = event.layer === '' ? 'the model' : event.layer;
        const change = event.from === event.to ? event.from : `${event.from} → ${event.to}`;
        this.#terminal.note(`Precision: ${layer}: ${change} (${event.reason})`);
        break;
      }
      case 'autopsy':
        this.#terminal.note(event.report);
        break;
      case 'recovery':
        this.#terminal.note(`${this.#terminal.yellow('recovery:')} ${event.report}`);
        // The epoch that comes next has a header and a bar of its own, whatever its number.
        this.#epoch = 0;
        break;
      case 'advice':
        this.#terminal.note(adviceLine(event));
        break;
      case 'skip':
        this.#terminal.note(skipLine(event));
        break;
    }
  };

  #showStart(event: StartEvent): void {
    this.#start = event;
    const { model, data, imgsz, epochs, firstEpoch } = event;
    const lines = [
      `Device: ${event.machine}`,
      `Model: ${model.name}, ${grouped(model.params)} parameters, ${model.gflops.toFixed(1)} GFLOPs`,
      ampLine(event),
      `Optimizer: ${event.optimizer}`,
      `Data: ${data.path}, ${counted(data.train, `training ${data.pairs ? 'pair' : 'image'}`)}, ${grouped(data.val)} to validate, ` +
        counted(data.names.length, 'class', 'classes'),
      `Image sizes ${imgsz.train} train, ${imgsz.val} val`,
      `Using ${event.workers} dataloader workers`,
      `Logging results to ${event.saveDir}`,
      firstEpoch > 1
        ? `Resuming training at epoch ${firstEpoch} of ${epochs}...`
        : `Starting training for ${epochs} epochs...`,
    ];
    for (const line of lines) this.#terminal.print(line);
  }

  #showStep(event: StepEvent): void {
    if (event.epoch !== this.#epoch) {
      this.#epoch = event.epoch;
      this.#bar = new ProgressBar(this.#terminal);
      const { device = 'cpu', scaler = false } = this.#start ?? {};
      this.#line = new TrainingLine(Object.keys(event.losses), device, scaler, this.#terminal.columns);
      if (this.#terminal.interactive) this.#terminal.print(`\n${this.#line.header()}`);
    }
    if (this.#line && this.#terminal.interactive) {
      const style = this.#line.progress(event);
      this.#bar?.update(this.#line.row(event), event.step, event.steps, performance.now(), style);
    }
    if (event.step < event.steps) return;
    this.#bar?.finish();
    this.#bar = new ProgressBar(this.#terminal);
  }

  #showEpoch(event: EpochEvent): void {
    if (this.#terminal.interactive) {
      const widths = tableWidths(this.#terminal);
      this.#terminal.print(validationHeader(widths));
      this.#terminal.print(validationRow('all', event, event.map50, event.map, widths));
      this.#terminal.print(this.#terminal.dim(phasesLine(event)));
      return;
    }
    if (this.#columns === null) {
      this.#columns = { scaler: event.scale !== null, gpu: event.gpu !== undefined };
      this.#terminal.print(epochHeader(Object.keys(event.losses), this.#columns));
    }
    this.#terminal.print(epochRow(event, this.#columns));
  }

  #showDone(event: DoneEvent): void {
    const { best, results, stopped, epochs } = event;
    const why = {
      patience: `No better epoch than ${best.epoch} for as long as patience allows: stopped.`,
      time: 'The time given is over: stopped.',
    };
    if (stopped !== null) this.#terminal.print(why[stopped]);
    this.#terminal.print(`\n${epochs} epochs completed in ${(event.seconds / 3600).toFixed(3)} hours.`);
    this.#terminal.print(`Best epoch: ${best.epoch}`);
    const widths = tableWidths(this.#terminal);
    for (const line of validationTable(results, this.#perClass, widths)) this.#terminal.print(line);
    this.#terminal.print(speedLine({ ...results.speed }));
    this.#terminal.print(`Results saved to ${this.#terminal.bold(event.saveDir)}`);
  }
}

/** `AMP: enabled (bf16, autocast, …)` with the reason, or why it is off. */
export function ampLine({ amp, scaler }: Pick<StartEvent, 'amp' | 'scaler'>): string {
  if (!amp.enabled) return `AMP: off (${PRECISION[amp.dtype] ?? amp.dtype}, ${amp.reason})`;
  const parts = [
    PRECISION[amp.dtype] ?? amp.dtype,
    'autocast',
    ...(scaler ? ['loss scaler'] : []),
    amp.reason,
  ];
  return `AMP: enabled (${parts.join(', ')})`;
}

/** 'Advice: workers=0 prepares nothing ahead …: workers=4 (to be expected: …)' */
export const adviceLine = ({ text, gain }: AdviceEvent): string => `Advice: ${text} (${gain})`;

/** 'Step 3 was left out: non-finite gradients in model.22.cv3.0 (loss scale 65536)' */
export function skipLine({ step, cause, scale }: SkipEvent): string {
  return `Step ${step} was left out: ${cause}${scale === null ? '' : ` (loss scale ${general(scale, 6)})`}`;
}
