import type { AutopsyReport, PrecisionEvent } from '@mezzo/precision';
import type { PhaseSeconds } from './phase-times.ts';
import type { MachineUse } from './run-monitor.ts';

/** Losses by name, for example `{ box, cls, dfl }`: after their gains, mean over the images. */
export type Losses = Readonly<Record<string, number>>;

/** Once, before the first step. */
export interface StartEvent {
  readonly event: 'start';
  readonly saveDir: string;
  /** `dtype` is what eligible ops run in: `float16`, `bfloat16`, or `float32` with amp off. */
  readonly amp: { readonly enabled: boolean; readonly dtype: string; readonly reason: string };
  /** Is a loss scaler at work? */
  readonly scaler: boolean;
  /** `cpu` or `cuda:0`. */
  readonly device: string;
  /** Processes that train together. */
  readonly ranks: number;
  /** The device and the library in words: `Intel Xeon …, 2 threads, LibTorch 2.15.0`. */
  readonly machine: string;
  readonly model: { readonly name: string; readonly params: number; readonly gflops: number };
  readonly data: {
    readonly path: string;
    readonly train: number;
    readonly val: number;
    /** Are the images pairs of pictures? */
    readonly pairs: boolean;
    readonly names: readonly string[];
  };
  /** Sides in pixels. */
  readonly imgsz: { readonly train: number; readonly val: number };
  readonly epochs: number;
  readonly batch: number;
  readonly workers: number;
  /** Optimizer with its rates in words: `AdamW(lr=0.001429, momentum=0.9)`. */
  readonly optimizer: string;
  /** The first epoch of this process, from 1; above 1 after a resume. */
  readonly firstEpoch: number;
}

/** After each training batch; for the progress line, not part of the JSON lines. */
export interface StepEvent extends MachineUse {
  readonly event: 'step';
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Batches done in this epoch, from 1, of `steps`. */
  readonly step: number;
  readonly steps: number;
  /** Means over the epoch so far. */
  readonly losses: Losses;
  /** Ground-truth boxes in the batch. */
  readonly instances: number;
  /** Side of the images in pixels. */
  readonly size: number;
  /** CUDA: reserved; CPU: peak of live tensors. */
  readonly memoryBytes: number;
  /** Only while a loss scaler is at work. */
  readonly scale?: number;
  /** Steps left out so far in the whole run. */
  readonly skipped?: number;
}

/** After each validation batch; for the progress line, not part of the JSON lines. */
export interface ValStepEvent {
  readonly event: 'valStep';
  readonly step: number;
  readonly steps: number;
}

/** After each epoch, its validation included. */
export interface EpochEvent extends MachineUse {
  readonly event: 'epoch';
  readonly epoch: number;
  readonly epochs: number;
  readonly losses: Losses;
  readonly valLosses: Losses;
  readonly precision: number;
  readonly recall: number;
  readonly map50: number;
  readonly map: number;
  /** Images and boxes validated. */
  readonly images: number;
  readonly instances: number;
  /** Learning rate of each parameter group. */
  readonly lr: readonly number[];
  /** null without a loss scaler. */
  readonly scale: number | null;
  /** Steps skipped so far in the whole run. */
  readonly skipped: number;
  readonly seconds: number;
  /** Seconds of each part of the training steps and of the validation, by the device's clock where it has one. */
  readonly phases: PhaseSeconds & { readonly validation: number };
  readonly peakBytes: number;
  /** Is this the best epoch so far? */
  readonly best: boolean;
}

/** A step in which something was not finite, and that changed nothing. */
export interface SkipEvent {
  readonly event: 'skip';
  /** Optimizer step of the run, from 1. */
  readonly step: number;
  /** The loss scale under which it overflowed; null without a scaler. */
  readonly scale: number | null;
  /** Parameters whose gradients were not finite, then buffers that were not; 'loss' when only that was. */
  readonly culprits: readonly string[];
  /** Of a network of several streams: those that the culprits belong to (`rgb`, `ir`, `fused`). */
  readonly streams?: readonly string[];
  /** Of several ranks: those on which something was not finite. */
  readonly ranks?: readonly number[];
  /** In words, the first few layers named: 'non-finite gradients in model.22.cv3.0.2 and 3 more'. */
  readonly cause: string;
}

/** Why an autopsy was made: `--autopsy` asked for it, or it kept happening. */
export type AutopsyTrigger = 'first-skip' | 'repeated-skips';

/** What an autopsy during training found: the fields of its report. */
export interface AutopsyEvent extends AutopsyReport {
  readonly event: 'autopsy';
  /** Of a network of several streams: the one that the faulty layer belongs to. */
  readonly stream?: string;
  /** Optimizer step of the run that was skipped, from 1. */
  readonly step: number;
  readonly trigger: AutopsyTrigger;
  /** All of it in words. */
  readonly report: string;
  /** Pictures of the batch. */
  readonly files: readonly string[];
}

/** A run that failed goes on from an earlier state, with something changed. */
export interface RecoveryEvent {
  readonly event: 'recovery';
  /** Memory ran out in the first epoch, or weights or losses were not finite any more. */
  readonly cause: 'memory' | 'non-finite';
  /** In which it happened, and the one that it goes on with; from 1. */
  readonly epoch: number;
  readonly from: number;
  /** Batches halved or rollbacks so far, of `attempts` at most. */
  readonly attempt: number;
  readonly attempts: number;
  /** Options and their new values; `learningRate` is the part of it that is left. */
  readonly changes: Readonly<Record<string, unknown>>;
  /** Parameters and buffers that were not finite. */
  readonly culprits: readonly string[];
  /** Pictures of the last window. */
  readonly files: readonly string[];
  /** All of it in words. */
  readonly report: string;
}

/** What would make this run faster or smaller, told at its start; in events.jsonl, not among the JSON lines. */
export interface AdviceEvent {
  readonly event: 'advice';
  readonly code: string;
  /** What was found, and what to do. */
  readonly text: string;
  /** Measured or to be expected, in words. */
  readonly gain: string;
}

/** What may happen to a single step; kept in events.jsonl. */
export type WindowEvent = SkipEvent | PrecisionEvent | AutopsyEvent;

/** What events.jsonl keeps beside steps and epochs. */
export type LoggedEvent = WindowEvent | RecoveryEvent | AdviceEvent;

const WINDOW_EVENTS: readonly string[] = ['skip', 'precision', 'autopsy'] satisfies WindowEvent['event'][];

export const isWindowEvent = (event: TrainEvent): event is WindowEvent => WINDOW_EVENTS.includes(event.event);

/** Results of one class, or of all. */
export interface ClassResult {
  readonly id: number;
  readonly name: string;
  readonly images: number;
  readonly instances: number;
  readonly precision: number;
  readonly recall: number;
  readonly ap50: number;
  readonly ap: number;
}

/** Mean times of one image in seconds. */
export interface Speed {
  readonly preprocess: number;
  readonly inference: number;
  readonly postprocess: number;
}

/** What `mezzo val --json` prints. */
export interface ValSummary {
  readonly map50: number;
  readonly map: number;
  readonly precision: number;
  readonly recall: number;
  readonly images: number;
  readonly instances: number;
  /** Classes with ground truth. */
  readonly perClass: readonly ClassResult[];
  readonly speed: Speed;
  /** The twelve COCO numbers, with `coco=true`. */
  readonly coco?: Readonly<Record<string, number>>;
  /** Where pictures and predictions were written. */
  readonly saveDir?: string;
}

/** Once, at the end of a run that was not interrupted. */
export interface DoneEvent {
  readonly event: 'done';
  readonly saveDir: string;
  readonly best: { readonly epoch: number; readonly map50: number; readonly map: number };
  readonly seconds: number;
  /** Epochs trained, fewer than asked for when `stopped` says why. */
  readonly epochs: number;
  readonly stopped: 'patience' | 'time' | null;
  /** Validation of the best checkpoint. */
  readonly results: ValSummary;
}

/** The last line of a command that failed; made from the thrown error. */
export interface ErrorEvent {
  readonly event: 'error';
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** A sentence for the user; on the error stream, never among the JSON lines. */
export interface MessageEvent {
  readonly event: 'message';
  readonly level: 'info' | 'warning';
  readonly text: string;
}

/** What a run tells while it goes on. */
export type TrainEvent =
  | StartEvent
  | StepEvent
  | ValStepEvent
  | EpochEvent
  | LoggedEvent
  | DoneEvent
  | MessageEvent;

/** The events that are JSON lines of `mezzo train --json`. */
export type TrainLine = StartEvent | EpochEvent | WindowEvent | RecoveryEvent | DoneEvent | ErrorEvent;
