import type { DType, NativeTensorNote, NativeTrace, ObservedPhase, ObservedRule } from '@mezzo/libtorch';

/** The layer of whatever runs outside the model's forward and outside every {@link atLayer}. */
export const OUTSIDE = '(outside)';

/** A tensor as an operator got it. */
export type TensorNote = NativeTensorNote;

/** Why an operator ran in its dtype: as the dispatcher showed it, or because a plan says so. */
export type DtypeRule = ObservedRule | 'plan';

/** Where in the model, and in which direction, something ran. */
export interface Place {
  /** Name of the module, '' for the model itself, or {@link OUTSIDE}. */
  layer: string;
  phase: ObservedPhase;
  /** Outermost operator, 'aten::conv2d'. */
  op: string;
  /** The backward node it ran in ('ConvolutionBackward0'), null in the forward pass. */
  node: string | null;
  /** The forward operator that this backward belongs to. */
  forwardOp: string | null;
  rule: DtypeRule;
}

/** All calls of one operator in one layer with the same dtypes, rule and place in the graph. */
export interface ObservedOp extends Place {
  in: DType[];
  out: DType[];
  /** The operator whose autocast kernel chose: `op`, or one that it is made of. */
  decidedBy: string | null;
  device: string;
  count: number;
  seconds: number;
  /** `seconds` without the operators inside. */
  selfSeconds: number;
  casts: number;
  /** Bytes read and written by casts. */
  castBytes: number;
  castSeconds: number;
  /** Tensor arguments of the first call, at most eight, as given. */
  inputs: TensorNote[];
  /** The same tensors as the kernel got them, after autocast. */
  computed: TensorNote[];
  /** Shapes of `inputs`. */
  shapes: number[][];
}

/** An operator whose float inputs were all finite and one of whose outputs was not. */
export interface FirstNonFinite extends Place {
  /** The call inside `op` where it began ('aten::_to_copy' for a cast), null when that is `op` itself. */
  inner: string | null;
  /** Float inputs of the innermost call with their largest magnitudes. */
  inputs: (TensorNote & { largest: number })[];
  output: TensorNote;
}

/** Data that was cast from one dtype to another, and back by the operator `back`. */
export interface RoundTrip {
  from: DType;
  to: DType;
  /** Where it was cast first, and what it went through. */
  chain: ObservedOp[];
  back: ObservedOp;
  count: number;
  /** Read and written by the casts. */
  bytes: number;
  seconds: number;
}

export interface Trace {
  ops: ObservedOp[];
  /** Where the first number that is not finite came from, the forward pass before the backward; null unless watched. */
  firstNonFinite: FirstNonFinite | null;
  /** Every such origin in the order they ran, the first 64. */
  nonFinite: FirstNonFinite[];
  roundTrips: RoundTrip[];
  /** Wall time of the whole, the observer's own work included. */
  seconds: number;
}

/** A plan's answer for a layer and operator; null when it has no rule there. */
export interface PlanLookup {
  ruleFor(layer: string, op?: string): object | null;
}

export function traceOf(
  native: NativeTrace,
  layers: readonly string[],
  plan: PlanLookup | undefined,
  seconds: number,
): Trace {
  const place = <T extends { layer: number; op: string; phase: ObservedPhase; rule: ObservedRule }>(
    it: T,
  ) => {
    const layer = it.layer < 0 ? OUTSIDE : layers[it.layer]!;
    const planned = it.phase === 'forward' && it.rule !== 'no floats' && plan?.ruleFor(layer, it.op);
    return { ...it, layer, rule: (planned ? 'plan' : it.rule) as DtypeRule };
  };
  const ops = native.ops.map((op): ObservedOp => {
    const { outputs, ...rest } = place(op);
    const shapes = op.inputs.map(({ shape }) => shape);
    return { ...rest, in: op.inputs.map(({ dtype }) => dtype), out: outputs, shapes };
  });
  const nonFinite = native.nonFinite.map(place);
  return {
    ops,
    nonFinite,
    firstNonFinite: nonFinite.find(({ phase }) => phase === 'forward') ?? nonFinite[0] ?? null,
    roundTrips: native.roundTrips.map(({ chain, back, ...trip }) => ({
      ...trip,
      chain: chain.map((i) => ops[i]!),
      back: ops[back]!,
    })),
    seconds,
  };
}
