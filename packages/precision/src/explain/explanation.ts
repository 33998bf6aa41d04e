import type { DType } from '@mezzo/libtorch';
import type { DtypeRule, ObservedOp } from '../observe/index.ts';
import type { Detour } from './detour.ts';
import type { LayerGradients } from './gradients.ts';
import type { Machine, UnitUse } from './matrix-unit.ts';

/** All calls of one operator in a layer that ran alike, in one step. */
export interface OpExplanation {
  /** Outermost operator, 'aten::conv2d'. */
  op: string;
  phase: 'forward' | 'backward';
  /** Dtypes of the tensors given. */
  in: DType[];
  /** Dtype of the (first) result; null for an operator without a tensor result. */
  out: DType | null;
  /** Dtypes that the kernel got, after autocast. */
  computed: DType[];
  rule: DtypeRule;
  /** The rule in words. */
  why: string;
  count: number;
  seconds: number;
  /** Of the step. */
  share: number;
  casts: number;
  /** Read and written by casts. */
  castBytes: number;
  castSeconds: number;
  shapes: number[][];
  /** For convolutions and matrix products. */
  unit: UnitUse | null;
  /** In the backward pass: the operator it belongs to. */
  forwardOp: string | null;
}

export interface LayerExplanation {
  /** Name of the module, '' for the model itself; or of a part beside it, 'loss', '(outside)'. */
  name: string;
  /** Class of the module, null for other parts. */
  type: string | null;
  seconds: number;
  share: number;
  casts: number;
  castBytes: number;
  castSeconds: number;
  ops: OpExplanation[];
  gradient: LayerGradients | null;
}

export interface Totals {
  /** Time in operators; the step's wall time without what JavaScript and the observer took. */
  seconds: number;
  casts: number;
  castBytes: number;
  castSeconds: number;
  /** Part of the step spent on casts. */
  castShare: number;
  /** Seconds by the dtype that is computed in. */
  byDtype: Record<string, number>;
  /** Convolutions and matrix products: all, and those on the machine's matrix units. */
  products: { seconds: number; onUnits: number; count: number; countOnUnits: number };
}

/** What each layer of a model does in one training step, in which precision, why, and what it costs. */
export interface Explanation {
  precision: { device: string; dtype: DType; scale: number };
  machine: string;
  /** Whether the backward pass is in it. */
  backward: boolean;
  /** In the model's order; parts beside the model last. */
  layers: LayerExplanation[];
  totals: Totals;
  /** Casts there and back, the dearest first. */
  detours: Detour[];
}

const FLOATS: readonly DType[] = ['float64', 'float32', 'bfloat16', 'float16'];

/** The dtype of the data an operator works on: of its first float tensor (statistics and gains come later). */
export const dataDtype = (tensors: readonly DType[]): DType | null =>
  tensors.find((dtype) => FLOATS.includes(dtype)) ?? null;

const low = (dtype: DType) => (dtype === 'float16' || dtype === 'bfloat16' ? dtype : 'the low dtype');

/** Why an operator ran in its dtype, in words. */
export function ruleInWords(
  { op, rule, decidedBy, forwardOp }: ObservedOp,
  dtype: DType,
  out: DType | null,
): string {
  const by = decidedBy === null || decidedBy === op ? '' : `, by ${decidedBy} inside it`;
  switch (rule) {
    case 'low list':
      return `autocast casts its inputs to ${low(dtype)}${by}`;
    case 'fp32 list':
      return `autocast runs it in float32${by}`;
    case 'promotion':
      return `autocast casts its inputs to the widest of them${by}`;
    case 'inputs':
      return 'no rule of autocast: it takes the dtypes it is given';
    case 'island':
      return 'autocast is switched off around it';
    case 'cast':
      return `the program casts to ${out ?? 'another dtype'}`;
    case 'plan':
      return 'the precision plan';
    case 'backward':
      return forwardOp === null ? 'the dtype of the gradients' : `the dtype that ${forwardOp} ran in`;
    case 'no floats':
      return 'no float tensors';
  }
}

export function machineInWords(machine: Machine): string {
  if (machine.device === 'cuda') {
    const tf32 = [machine.tf32.conv && 'convolutions', machine.tf32.matmul && 'matrix products'].filter(
      Boolean,
    );
    return `${machine.name}, compute capability ${machine.capability.join('.')}, TF32 ${tf32.length > 0 ? `for ${tf32.join(' and ')}` : 'off'}`;
  }
  const sets = ['amx_bf16', 'amx_fp16', 'avx512_bf16', 'avx512_fp16'].filter((flag) =>
    machine.flags.includes(flag),
  );
  return `${machine.name}, ${sets.length > 0 ? sets.join(', ') : 'no 16-bit arithmetic'}`;
}

/** JSON for `--json`: numbers that JSON has not (infinities, NaN) are null. */
export const explanationJson = (explanation: Explanation): string => JSON.stringify(explanation);
