import type { DType } from '@mezzo/libtorch';
import { type AutocastOptions, type nn, scope, type Tensor } from '@mezzo/torch';
import { untouched } from '../autopsy/restore.ts';
import { type ObservedOp, OUTSIDE, observe, type PlanLookup, type Trace } from '../observe/index.ts';
import { detourOf } from './detour.ts';
import {
  dataDtype,
  type Explanation,
  type LayerExplanation,
  machineInWords,
  type OpExplanation,
  ruleInWords,
  type Totals,
} from './explanation.ts';
import { compareLayers, gradientsOf, type LayerGradients } from './gradients.ts';
import { type Machine, machineOf, unitUse } from './matrix-unit.ts';

export interface ExplainOptions {
  /** On its device, in the mode in which it is explained. */
  readonly model: nn.Module;
  /**
   * Forward and loss of one batch, the same one every time:
   * `(region) => autocast(region, () => criterion(model.forward(x), y))`.
   */
  readonly run: (region: AutocastOptions) => Tensor;
  /** What it runs in; dtype float32 is without autocast. */
  readonly precision: { readonly device: string; readonly dtype: DType };
  /** Loss scale of the backward pass. Default 65536 for float16, else 1. */
  readonly scale?: number;
  /** Explain the backward pass as well. Default true. */
  readonly backward?: boolean;
  /** Compare each layer's gradient with that of a float32 run on the same batch. */
  readonly gradients?: boolean;
  /** The plan in force, so that its rules are named. */
  readonly plan?: PlanLookup;
  /** Observed steps; of each operator the shortest time counts. Default 3. */
  readonly repeats?: number;
  /** Whose matrix units are judged by; default: of the device. */
  readonly machine?: Machine;
}

const DEFAULT_SCALE: Partial<Record<DType, number>> = { float16: 65536 };

/**
 * Explains one training step: for every layer and operator the dtypes, the rule that chose them, the casts with
 * their bytes and time, and whether matrix units are used. Runs the step once to warm up and `repeats` times
 * observed; with `gradients` two times more. Weights, buffers, gradients and generators are afterwards as they were, to the bit.
 */
export function explain(options: ExplainOptions): Explanation {
  const { model, precision, backward = true, plan } = options;
  const machine = options.machine ?? machineOf(precision.device);
  const scale = options.scale ?? DEFAULT_SCALE[precision.dtype] ?? 1;
  const step = (dtype: DType, factor: number) => {
    const loss = options.run(regionOf(precision.device, dtype));
    if (backward) loss.mul(factor).sum().backward();
  };
  untouched(model, () => scope(() => step(precision.dtype, scale)));
  const synchronize = precision.device.startsWith('cuda');
  const traces = Array.from({ length: Math.max(1, options.repeats ?? 3) }, () =>
    untouched(model, () =>
      scope(() =>
        observe(model, plan ? { synchronize, plan } : { synchronize }, () => step(precision.dtype, scale)),
      ),
    ),
  );
  const trace = shortest(traces.map((each) => each.trace));
  const gradients = options.gradients ? gradientsInBoth(model, precision.dtype, scale, step) : [];
  return {
    precision: { ...precision, scale },
    machine: machineInWords(machine),
    backward,
    ...layersOf(model, trace, precision.dtype, machine, gradients),
    detours: trace.roundTrips.map(detourOf).sort((a, b) => b.seconds - a.seconds),
  };
}

/** The times of an operator differ by what else the machine does; the rest of equal steps is equal. */
function shortest(traces: readonly Trace[]): Trace {
  const [first, ...others] = traces as [Trace, ...Trace[]];
  const alike = others.filter(({ ops }) => ops.length === first.ops.length);
  first.ops.forEach((op, i) => {
    for (const { ops } of alike) {
      if (ops[i]!.op !== op.op || ops[i]!.layer !== op.layer) continue;
      op.seconds = Math.min(op.seconds, ops[i]!.seconds);
      op.castSeconds = Math.min(op.castSeconds, ops[i]!.castSeconds);
    }
  });
  return first;
}

function regionOf(device: string, dtype: DType): AutocastOptions {
  const type = device.startsWith('cuda') ? 'cuda' : 'cpu';
  return dtype === 'float32' ? { device: type, enabled: false } : { device: type, dtype };
}

function gradientsInBoth(
  model: nn.Module,
  low: DType,
  scale: number,
  step: (dtype: DType, scale: number) => void,
): LayerGradients[] {
  const gradients = (dtype: DType, factor: number) =>
    untouched(model, () =>
      scope(() => {
        step(dtype, factor);
        return gradientsOf(model, factor);
      }),
    );
  return scope(() => compareLayers(gradients('float32', 1), gradients(low, scale), low, scale));
}

function layersOf(
  model: nn.Module,
  trace: Trace,
  dtype: DType,
  machine: Machine,
  gradients: readonly LayerGradients[],
): Pick<Explanation, 'layers' | 'totals'> {
  const total = sum(trace.ops, ({ seconds }) => seconds);
  const types = new Map(
    Array.from(model.namedModules(), ([name, module]) => [name, module.constructor.name]),
  );
  const beside = trace.ops
    .map(({ layer }) => layer)
    .filter((layer) => !types.has(layer) && layer !== OUTSIDE);
  const names = [...new Set([...types.keys(), ...beside, OUTSIDE])];
  const layers = names.flatMap((name): LayerExplanation[] => {
    const ops = trace.ops.filter(({ layer }) => layer === name);
    const gradient = gradients.find(({ layer }) => layer === name) ?? null;
    if (ops.length === 0 && gradient === null) return [];
    const seconds = sum(ops, (op) => op.seconds);
    return [
      {
        name,
        type: types.get(name) ?? null,
        seconds,
        share: share(seconds, total),
        casts: sum(ops, (op) => op.casts),
        castBytes: sum(ops, (op) => op.castBytes),
        castSeconds: sum(ops, (op) => op.castSeconds),
        ops: ops.map((op) => explainOp(op, dtype, machine, total)),
        gradient,
      },
    ];
  });
  return { layers, totals: totalsOf(layers, total) };
}

function explainOp(op: ObservedOp, dtype: DType, machine: Machine, total: number): OpExplanation {
  const out = op.out[0] ?? null;
  return {
    op: op.op,
    phase: op.phase,
    in: op.in,
    out,
    computed: op.computed.map((tensor) => tensor.dtype),
    rule: op.rule,
    why: ruleInWords(op, dtype, out),
    count: op.count,
    seconds: op.seconds,
    share: share(op.seconds, total),
    casts: op.casts,
    castBytes: op.castBytes,
    castSeconds: op.castSeconds,
    shapes: op.shapes,
    unit: unitUse(op, machine),
    forwardOp: op.forwardOp,
  };
}

function totalsOf(layers: readonly LayerExplanation[], seconds: number): Totals {
  const ops = layers.flatMap((layer) => layer.ops);
  const byDtype: Record<string, number> = {};
  for (const op of ops) {
    const dtype = dataDtype(op.computed) ?? 'no floats';
    byDtype[dtype] = (byDtype[dtype] ?? 0) + op.seconds;
  }
  const products = ops.filter(({ unit }) => unit !== null);
  const onUnits = products.filter(({ unit }) => unit?.use !== 'no');
  const castSeconds = sum(ops, (op) => op.castSeconds);
  return {
    seconds,
    casts: sum(ops, (op) => op.casts),
    castBytes: sum(ops, (op) => op.castBytes),
    castSeconds,
    castShare: share(castSeconds, seconds),
    byDtype,
    products: {
      seconds: sum(products, (op) => op.seconds),
      onUnits: sum(onUnits, (op) => op.seconds),
      count: sum(products, (op) => op.count),
      countOnUnits: sum(onUnits, (op) => op.count),
    },
  };
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
