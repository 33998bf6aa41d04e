import type { DType } from '@mezzo/libtorch';
import { PLAN_DTYPES, type PlanRule } from '../islands/plan.ts';
import type { ObservedOp, RoundTrip } from '../observe/index.ts';

/** Data that is cast from X to Y and back to X: the conversions, why they happen and what saves them. */
export interface Detour {
  from: DType;
  to: DType;
  /** Where it is cast, what it goes through, and where it is cast back. */
  path: { layer: string; op: string }[];
  /** What asks for `to`. */
  because: string;
  count: number;
  /** Bytes read and written by the casts. */
  bytes: number;
  seconds: number;
  /** A rule for the plan that keeps the data in `from`; null where `to` is needed or the program asks for it. */
  override: PlanRule | null;
  advice: string;
}

/** Operators that move, choose or average numbers: their results lie within the range of their inputs. */
const MOVES_ONLY =
  /^aten::_?(upsample_\w+|interpolate|cat|concat|stack|copy_|pixel_(un)?shuffle|(adaptive_)?(max|avg)_pool[123]d\w*|index_select|gather|flip|roll|(reflection|replication|constant)_pad\w*|pad|view|reshape|permute|transpose|flatten|expand|slice|select|chunk|split\w*|contiguous|clone|clamp\w*|relu_?)$/;

export function detourOf({ from, to, chain, back, count, bytes, seconds }: RoundTrip): Detour {
  const cause = causeOf(chain);
  const path = [...chain, back].map(({ layer, op }) => ({ layer, op }));
  return {
    from,
    to,
    path,
    because: sentence(cause, to),
    count,
    bytes,
    seconds,
    ...cure(cause, from, to, bytes),
  };
}

/** The operator that asked for the other dtype: the first on a list or under a plan, else the one that cast. */
const causeOf = (chain: readonly ObservedOp[]): ObservedOp =>
  chain.find(({ rule }) => rule === 'plan' || rule === 'fp32 list' || rule === 'island') ?? chain[0]!;

function sentence({ layer, op, rule, decidedBy }: ObservedOp, to: DType): string {
  const where = `${op} in ${layerName(layer)}`;
  if (rule === 'plan') return `the plan has ${layerName(layer)} in ${to}`;
  if (rule === 'island') return `${where} runs in a region without autocast`;
  if (rule === 'fp32 list') return `${decidedBy ?? op} is on autocast's float32 list, in ${layerName(layer)}`;
  if (rule === 'cast') return `the program casts to ${to} in ${layerName(layer)}`;
  if (rule === 'promotion') return `${where} takes the widest of its inputs' dtypes`;
  return `${where} computes in ${to}`;
}

function cure(
  { layer, op, rule, decidedBy, device }: ObservedOp,
  from: DType,
  to: DType,
  bytes: number,
): { override: PlanRule | null; advice: string } {
  const saved = `saves ${from} → ${to} → ${from} (${bytes} bytes a step)`;
  const dtype = PLAN_DTYPES.find((name) => name === from);
  if (dtype === undefined) return { override: null, advice: `a plan cannot ask for ${from}` };
  if (rule === 'plan' || rule === 'island') {
    const override = { layers: layer, dtype, reason: saved };
    return { override, advice: `let ${layerName(layer)} run in ${from} unless it is known to need ${to}` };
  }
  if (rule === 'cast')
    return { override: null, advice: `drop the cast in ${layerName(layer)} if nothing needs ${to}` };
  const chosenBy = decidedBy ?? op;
  const override = { layers: layer, ops: [op], dtype, reason: saved };
  if (rule !== 'fp32 list') {
    return { override, advice: `${op} follows the widest of its inputs: give it all of them in ${from}` };
  }
  if (!MOVES_ONLY.test(chosenBy)) {
    return { override: null, advice: `keep it: ${chosenBy} needs the range or the digits of float32` };
  }
  if (device === 'cpu') {
    return {
      override: null,
      advice: `keep it: ${chosenBy} is on the list because its CPU kernel may lack ${from}`,
    };
  }
  return { override, advice: `${op} only moves numbers: it can stay in ${from}` };
}

export const layerName = (layer: string): string => (layer === '' ? 'the model itself' : layer);
