import { type DType, thisCpu } from '@mezzo/libtorch';
import { backends, cuda } from '@mezzo/torch';
import type { ObservedOp, TensorNote } from '../observe/index.ts';

/** What decides whether a machine multiplies matrices by units made for it. */
export type Machine =
  | {
      device: 'cuda';
      name: string;
      capability: readonly [number, number];
      /** Whether float32 may be multiplied as TF32. */
      tf32: { conv: boolean; matmul: boolean };
    }
  | { device: 'cpu'; name: string; flags: readonly string[]; bf16: boolean; fp16: boolean };

export function machineOf(device: string): Machine {
  if (device.startsWith('cuda')) {
    return {
      device: 'cuda',
      name: cuda.getDeviceName(device),
      capability: cuda.getDeviceCapability(device),
      tf32: { conv: backends.cudnn.allowTf32, matmul: backends.cuda.matmul.allowTf32 },
    };
  }
  const { model, flags, bf16, fp16 } = thisCpu();
  return { device: 'cpu', name: model, flags, bf16, fp16 };
}

/** Whether a convolution or matrix product runs on the machine's matrix units, and if not, or not freely, why. */
export interface UnitUse {
  /** 'Tensor Cores', 'AMX', 'AVX512-BF16', …: the unit for the dtype, or the one that is missed. */
  unit: string;
  /** 'converted': it is used, after a copy into another layout. */
  use: 'yes' | 'converted' | 'no';
  reasons: string[];
}

/** A product of matrices: what has to be a multiple of the unit's width, and what is computed in. */
interface Product {
  kind: 'conv' | 'matmul';
  dtype: DType;
  /** Size by name. */
  sizes: [name: string, size: number][];
  depthwise: boolean;
  /** The tensor whose layout counts, for convolutions. */
  input: TensorNote | null;
}

type Reader = (tensors: readonly TensorNote[]) => Product | null;

const convolution =
  (input: number, weight: number, transposed: boolean): Reader =>
  (tensors) => {
    const [x, w] = [tensors[input], tensors[weight]];
    if (x === undefined || w === undefined || w.shape.length < 3) return null;
    const [first, second] = w.shape as [number, number];
    const channels = x.shape[x.shape.length - w.shape.length + 1] ?? 0;
    const groups = transposed ? 1 : channels / second;
    const [into, out] = transposed ? [first, second] : [second, first / groups];
    return {
      kind: 'conv',
      dtype: x.dtype,
      sizes: [
        [groups > 1 ? 'input channels a group' : 'input channels', into],
        [groups > 1 ? 'output channels a group' : 'output channels', out],
      ],
      depthwise: groups > 1 && into === 1,
      input: x,
    };
  };

/** `columns` is the dimension of the second operand that the result keeps. */
const product =
  (first: number, second: number, columns: number): Reader =>
  (tensors) => {
    const [a, b] = [tensors[first], tensors[second]];
    const [inner, kept] = [a?.shape.at(-1), b?.shape.at(b.shape.length > 1 ? columns : -1)];
    if (a === undefined || inner === undefined || kept === undefined) return null;
    const sizes: Product['sizes'] = [
      ['inner size', inner],
      ['columns', kept],
    ];
    return { kind: 'matmul', dtype: a.dtype, sizes, depthwise: false, input: null };
  };

const PRODUCTS: Readonly<Record<string, Reader>> = {
  'aten::conv1d': convolution(0, 1, false),
  'aten::conv2d': convolution(0, 1, false),
  'aten::conv3d': convolution(0, 1, false),
  'aten::convolution': convolution(0, 1, false),
  'aten::conv_transpose1d': convolution(0, 1, true),
  'aten::conv_transpose2d': convolution(0, 1, true),
  'aten::conv_transpose3d': convolution(0, 1, true),
  'aten::convolution_backward': convolution(1, 2, false),
  'aten::linear': product(0, 1, -2),
  'aten::matmul': product(0, 1, -1),
  'aten::mm': product(0, 1, -1),
  'aten::bmm': product(0, 1, -1),
  'aten::addmm': product(1, 2, -1),
  'aten::addbmm': product(1, 2, -1),
  'aten::baddbmm': product(1, 2, -1),
  'aten::scaled_dot_product_attention': product(0, 1, -2),
};

/** Null for operators that multiply no matrices. */
export function unitUse(op: ObservedOp, machine: Machine): UnitUse | null {
  const found = PRODUCTS[op.op]?.(op.computed);
  if (!found) return null;
  return machine.device === 'cuda' ? tensorCores(found, machine) : cpuUnit(found, machine);
}

/** The first generation with Tensor Cores for a dtype. */
const TENSOR_CORES: Partial<Record<DType, { since: number; multiple: number }>> = {
  float16: { since: 7, multiple: 8 },
  bfloat16: { since: 8, multiple: 8 },
  float32: { since: 8, multiple: 4 },
};

function tensorCores(it: Product, { capability, tf32 }: Machine & { device: 'cuda' }): UnitUse {
  const unit = 'Tensor Cores';
  const no = (reason: string): UnitUse => ({ unit, use: 'no', reasons: [reason] });
  const [major, minor] = capability;
  if (major < 7) return no(`compute capability ${major}.${minor} has none (they came with 7.0)`);
  const kind = TENSOR_CORES[it.dtype];
  if (kind === undefined) return no(`computed in ${it.dtype}`);
  if (it.dtype === 'float32' && !tf32[it.kind]) return no('computed in float32, and TF32 is off');
  if (major < kind.since) return no(`${it.dtype} needs compute capability ${kind.since}.0`);
  if (it.depthwise) return no('depthwise: a group has one channel');
  const odd = it.sizes.filter(([, size]) => size % kind.multiple !== 0);
  if (odd.length > 0) {
    return {
      unit,
      use: 'no',
      reasons: odd.map(([name, size]) => `${size} ${name}, not a multiple of ${kind.multiple}`),
    };
  }
  const reasons = layoutReason(it, 'cuDNN copies it into channels_last');
  return { unit, use: reasons.length > 0 ? 'converted' : 'yes', reasons };
}

/** Units by dtype, the widest first, with the CPU flag that tells of each. */
const CPU_UNITS: Partial<Record<DType, readonly (readonly [flag: string, unit: string])[]>> = {
  bfloat16: [
    ['amx_bf16', 'AMX'],
    ['avx512_bf16', 'AVX512-BF16'],
  ],
  float16: [
    ['amx_fp16', 'AMX'],
    ['avx512_fp16', 'AVX512-FP16'],
  ],
};
/** oneDNN's blocks of channels. */
const BLOCK = 16;

function cpuUnit(it: Product, { flags, bf16, fp16 }: Machine & { device: 'cpu' }): UnitUse {
  const units = CPU_UNITS[it.dtype];
  if (units === undefined) {
    return { unit: 'AMX', use: 'no', reasons: [`computed in ${it.dtype}, by the vector units`] };
  }
  const usable = it.dtype === 'bfloat16' ? bf16 : fp16;
  const found = usable ? units.find(([flag]) => flags.includes(flag)) : undefined;
  if (found === undefined) {
    const missing = units.map(([flag]) => flag).join(' nor ');
    return { unit: units[0]![1], use: 'no', reasons: [`neither ${missing}: ${it.dtype} is emulated`] };
  }
  const unit = found[1];
  if (it.depthwise) return { unit, use: 'no', reasons: ['depthwise: a group has one channel'] };
  const partial = it.sizes
    .filter(([, size]) => size % BLOCK !== 0)
    .map(([name, size]) => `${size} ${name} fill blocks of ${BLOCK} in part`);
  const layout = layoutReason(it, 'oneDNN reorders it');
  return { unit, use: layout.length > 0 ? 'converted' : 'yes', reasons: [...layout, ...partial] };
}

function layoutReason({ input }: Product, consequence: string): string[] {
  if (input === null || input.shape.length !== 4) return [];
  if (input.layout === 'channels_last' || input.layout === 'both') return [];
  return [`the input is ${input.layout === 'contiguous' ? 'contiguous (NCHW)' : 'strided'}: ${consequence}`];
}
