import type { DType } from '@mezzo/torch';

/** What was found; stable, for programs. */
export type FindingCode =
  /** The replay is finite: nothing of this batch overflows. */
  | 'finite'
  /** The batch itself holds an infinity or NaN. */
  | 'input-not-finite'
  /** A parameter or buffer holds one. */
  | 'state-not-finite'
  /** A parameter of the faulty layer is larger than the low dtype can hold. */
  | 'weight-beyond-range'
  /** Most weights have grown out of all proportion: training ran away before this batch. */
  | 'weights-diverged'
  /** Scaled gradients overflow; with a smaller loss scale they do not. */
  | 'scale-too-large'
  /** A value that float32 holds and the low dtype does not. */
  | 'beyond-range'
  /** Infinite or undefined in float32 as well: 0/0, log 0, the slope of sqrt at 0. */
  | 'undefined-value'
  /** The loss or a gradient is not finite, and no single operation made it so. */
  | 'not-located';

/** What cures it; stable, for programs. Listed from cheap to dear. */
export type CureCode =
  | 'none-needed'
  | 'fix-data'
  | 'restore-weights'
  | 'lower-learning-rate'
  | 'lower-scale'
  | 'eps'
  | 'fp32-op'
  | 'clamp'
  | 'fp32-layer'
  | 'bf16'
  | 'fp32'
  | 'check-formula';

/** A tensor that an operation read or wrote. */
export interface OperandReport {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Largest magnitude; null where it was not looked at. */
  readonly largest: number | null;
}

/** The first operation that made an infinity or NaN of finite inputs. */
export interface FaultReport {
  readonly phase: 'forward' | 'backward';
  /** Name of the module that called it, '' for the model itself, or of a part beside it ('loss'); else null. */
  readonly layer: string | null;
  /** Class of that module, 'Linear'; null outside the model. */
  readonly module: string | null;
  /** What the program called: 'aten::exp'; in the backward phase, the operation whose gradient it is. */
  readonly op: string;
  /** The call inside that where it began, 'aten::_to_copy' for a cast; null when it is that itself. */
  readonly inner: string | null;
  /** Node of the backward graph, 'SqrtBackward0'; null in the forward phase. */
  readonly node: string | null;
  readonly dtype: DType;
  /** Which rule chose that dtype. */
  readonly rule: string;
  readonly inputs: readonly OperandReport[];
  readonly output: { readonly dtype: DType; readonly shape: readonly number[] };
}

/** Numbers of an input that are not finite. */
export interface InputReport {
  readonly name: string;
  readonly count: number;
  /** Index of the first one, and what lies there in words: 'street.jpg, channel 0, row 12, column 40'. */
  readonly index: readonly number[];
  readonly place: string;
  readonly value: 'nan' | 'inf' | '-inf';
}

/** A parameter or buffer that is not finite (`largest` null), or larger than the low dtype's largest number. */
export interface StateReport {
  readonly name: string;
  readonly kind: 'parameter' | 'buffer';
  readonly largest: number | null;
}

/** A cure and whether it worked on this very batch. */
export interface CureReport {
  readonly code: CureCode;
  /** null: not tried, `note` says why. */
  readonly works: boolean | null;
  /** What to do, as an imperative: 'run exp of head.scale in float32'. */
  readonly text: string;
  /** As an option, a plan's rule or a line of code to copy; null where there is none. */
  readonly how: string | null;
  /** The loss scale it worked with, where that is smaller than the one of the failure. */
  readonly scale?: number;
  /** The learning rate to try. */
  readonly learningRate?: number;
  /** The eps, or the bounds, that worked. */
  readonly value?: number;
  readonly note?: string;
}

/** What an autopsy found, as data; every field but `text` is stable. */
export interface AutopsyReport {
  readonly version: 1;
  readonly finding: FindingCode;
  /** The finding in one or two plain sentences. */
  readonly text: string;
  readonly precision: { readonly device: string; readonly dtype: DType; readonly scale: number };
  /** What the replay under the run's own precision gave. */
  readonly replay: {
    readonly lossFinite: boolean;
    /** Parameters whose gradient is not finite, buffers that were left so. */
    readonly gradients: readonly string[];
    readonly buffers: readonly string[];
  };
  readonly fault: FaultReport | null;
  readonly inputs: readonly InputReport[];
  readonly state: readonly StateReport[];
  /** The cure to take; null when nothing that was tried works. */
  readonly cure: CureReport | null;
  /** All that were tried or advised, cheapest first. */
  readonly cures: readonly CureReport[];
  /** Replays that the autopsy took, and its time. */
  readonly replays: number;
  readonly seconds: number;
}
