import type { DType } from './native.ts';

/** A tensor as an operator got it. */
export interface NativeTensorNote {
  dtype: DType;
  shape: number[];
  /** 'both' where the two formats coincide (one channel, or one pixel); 'strided' is neither. */
  layout: 'contiguous' | 'channels_last' | 'both' | 'strided';
}

export type ObservedPhase = 'forward' | 'backward';

/** Why an operator ran in its dtype, as the dispatcher showed it. */
export type ObservedRule =
  | 'low list'
  | 'fp32 list'
  | 'promotion'
  | 'inputs'
  | 'island'
  | 'cast'
  | 'backward'
  | 'no floats';

interface NativePlace {
  /** The number given to `observerEnter`, -1 outside all layers. */
  layer: number;
  phase: ObservedPhase;
  /** The outermost operator, `aten::conv2d`. */
  op: string;
  /** The backward node it ran in, `ConvolutionBackward0`. */
  node: string | null;
  /** The forward operator that made the node. */
  forwardOp: string | null;
  rule: ObservedRule;
}

export interface NativeObservedOp extends NativePlace {
  /** The operator whose autocast kernel chose the dtype: `op` itself or one inside it. */
  decidedBy: string | null;
  device: string;
  /** Tensor arguments of the first call, at most eight. */
  inputs: NativeTensorNote[];
  /** The same as the kernel got them. */
  computed: NativeTensorNote[];
  outputs: DType[];
  count: number;
  seconds: number;
  /** `seconds` without the operators inside. */
  selfSeconds: number;
  casts: number;
  /** Bytes read and written by casts. */
  castBytes: number;
  castSeconds: number;
}

export interface NativeNonFinite extends NativePlace {
  /** The call within `op` where it began; null when that is `op` itself. */
  inner: string | null;
  /** The float inputs of the innermost call, all finite, with their largest magnitudes. */
  inputs: (NativeTensorNote & { largest: number })[];
  output: NativeTensorNote;
}

export interface NativeRoundTrip {
  /** Indices of operators: where the data was cast, and what it went through. */
  chain: number[];
  /** Index of the operator that cast it back. */
  back: number;
  from: DType;
  to: DType;
  count: number;
  bytes: number;
  seconds: number;
}

/** What an observed stretch of a program did. */
export interface NativeTrace {
  ops: NativeObservedOp[];
  nonFinite: NativeNonFinite[];
  roundTrips: NativeRoundTrip[];
  /** The first call that could not be observed, and why. */
  failure: string | null;
}

export type AutocastPolicyName = 'none' | 'low list' | 'fp32 list' | 'promotion' | 'passes' | 'banned';
