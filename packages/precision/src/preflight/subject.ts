import type { amp, nn, Tensor } from '@mezzo/torch';

/** One run of forward and loss that a preflight asks for. */
export interface Pass {
  /** Take the first so many samples. */
  readonly batch: number;
  /** What eligible operations run in; `float32` in the reference. */
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  /** Runs `fn` in the autocast region of this pass: put there what training puts there. */
  readonly region: <T>(fn: () => T) => T;
}

/** What a pass gave. */
export interface PassOutput<D> {
  /** One number to differentiate. */
  readonly loss: Tensor;
  /** Raw outputs of the model, by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** What `compare` looks at; tensors in it are kept, so detach them. */
  readonly detail: D;
}

/** A number that says how far two passes are apart, 0 when equal. */
export interface Difference {
  readonly value: number;
  /** Differences below this mean nothing. */
  readonly floor: number;
  /** In words, with the unit: `box error 0.31 px at 120 assigned anchors`. */
  readonly text: string;
}

/** A model as it is about to be trained: what a preflight examines. */
export interface PreflightSubject<D = unknown> {
  /** On its device and in the mode in which it is trained. */
  readonly model: nn.Module;
  readonly device: string;
  readonly low: 'float16' | 'bfloat16';
  /** Samples in a batch of the training. */
  readonly batch: number;
  /** Forward and loss of one batch, the same one every time. */
  readonly run: (pass: Pass) => PassOutput<D>;
  /** Further comparisons with the float32 pass, by name; an empty one tells that there was nothing to compare. */
  readonly compare?: (reference: D, other: D) => Readonly<Record<string, Difference>>;
}

export const deviceType = (device: string): amp.AutocastDevice =>
  device.startsWith('cuda') ? 'cuda' : 'cpu';
