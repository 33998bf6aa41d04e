import type { DType, TypedArray } from '@mezzo/libtorch';

export type { DType, TypedArray };

interface DTypeInfo {
  readonly bytes: number;
  readonly kind: 'bool' | 'integer' | 'floating' | 'complex';
}

/** What a program can ask of a dtype without a tensor: bytes per element and family. */
const INFO: Partial<Record<DType, DTypeInfo>> = {
  bool: { bytes: 1, kind: 'bool' },
  uint8: { bytes: 1, kind: 'integer' },
  int8: { bytes: 1, kind: 'integer' },
  int16: { bytes: 2, kind: 'integer' },
  uint16: { bytes: 2, kind: 'integer' },
  int32: { bytes: 4, kind: 'integer' },
  uint32: { bytes: 4, kind: 'integer' },
  int64: { bytes: 8, kind: 'integer' },
  uint64: { bytes: 8, kind: 'integer' },
  float16: { bytes: 2, kind: 'floating' },
  bfloat16: { bytes: 2, kind: 'floating' },
  float32: { bytes: 4, kind: 'floating' },
  float64: { bytes: 8, kind: 'floating' },
  float8_e4m3fn: { bytes: 1, kind: 'floating' },
  float8_e5m2: { bytes: 1, kind: 'floating' },
  qint8: { bytes: 1, kind: 'integer' },
  quint8: { bytes: 1, kind: 'integer' },
  qint32: { bytes: 4, kind: 'integer' },
  complex32: { bytes: 4, kind: 'complex' },
  complex64: { bytes: 8, kind: 'complex' },
  complex128: { bytes: 16, kind: 'complex' },
};

export const isFloatingDType = (dtype: DType): boolean => INFO[dtype]?.kind === 'floating';

export const isComplexDType = (dtype: DType): boolean => INFO[dtype]?.kind === 'complex';

/** True when `text` names a dtype ('float32'), so that it is not taken for a device ('cpu'). */
export const isDType = (text: string): text is DType => Object.hasOwn(INFO, text);

/** The dtype a typed array holds. */
export function dtypeOfTypedArray(array: TypedArray): DType {
  const dtype = TYPED_ARRAY_DTYPES.get(array.constructor);
  if (dtype === undefined) throw new TypeError(`no tensor dtype for ${array.constructor.name}`);
  return dtype;
}

const TYPED_ARRAY_DTYPES = new Map<unknown, DType>([
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [Int8Array, 'int8'],
  [Uint8Array, 'uint8'],
  [Uint8ClampedArray, 'uint8'],
  [Int16Array, 'int16'],
  [Uint16Array, 'uint16'],
  [Int32Array, 'int32'],
  [Uint32Array, 'uint32'],
  [BigInt64Array, 'int64'],
  [BigUint64Array, 'uint64'],
]);

export type { MemoryFormatName as MemoryFormat } from '@mezzo/libtorch';
