import type { DType, TypedArray } from '@mezzo/libtorch';

export type { DType, TypedArray };

interface DTypeInfo {
  readonly bytes: number;
  readonly kind: 'bool' | 'integer' | 'floating' | 'complex';
  /** LibTorch's number for it (c10::ScalarType), which ops return. */
  readonly code: number;
}

/** What a program can ask of a dtype without a tensor: bytes per element and family. */
const INFO: Record<DType, DTypeInfo> = {
  bool: { bytes: 1, kind: 'bool', code: 11 },
  uint8: { bytes: 1, kind: 'integer', code: 0 },
  int8: { bytes: 1, kind: 'integer', code: 1 },
  int16: { bytes: 2, kind: 'integer', code: 2 },
  uint16: { bytes: 2, kind: 'integer', code: 27 },
  int32: { bytes: 4, kind: 'integer', code: 3 },
  uint32: { bytes: 4, kind: 'integer', code: 28 },
  int64: { bytes: 8, kind: 'integer', code: 4 },
  uint64: { bytes: 8, kind: 'integer', code: 29 },
  float16: { bytes: 2, kind: 'floating', code: 5 },
  bfloat16: { bytes: 2, kind: 'floating', code: 15 },
  float32: { bytes: 4, kind: 'floating', code: 6 },
  float64: { bytes: 8, kind: 'floating', code: 7 },
  float8_e4m3fn: { bytes: 1, kind: 'floating', code: 24 },
  float8_e5m2: { bytes: 1, kind: 'floating', code: 23 },
  qint8: { bytes: 1, kind: 'integer', code: 12 },
  quint8: { bytes: 1, kind: 'integer', code: 13 },
  qint32: { bytes: 4, kind: 'integer', code: 14 },
  complex32: { bytes: 4, kind: 'complex', code: 8 },
  complex64: { bytes: 8, kind: 'complex', code: 9 },
  complex128: { bytes: 16, kind: 'complex', code: 10 },
};

export const isFloatingDType = (dtype: DType): boolean => INFO[dtype].kind === 'floating';

export const isComplexDType = (dtype: DType): boolean => INFO[dtype].kind === 'complex';

/** True when `text` names a dtype ('float32'), so that it is not taken for a device ('cpu'). */
export const isDType = (text: string): text is DType => Object.hasOwn(INFO, text);

const BY_CODE = new Map(Object.entries(INFO).map(([name, { code }]) => [code, name as DType]));

/** The dtype LibTorch numbers so; undefined for those that have no name here. */
export const dtypeOfCode = (code: number): DType | undefined => BY_CODE.get(code);

/** The dtype a typed array holds; a Buffer is a Uint8Array. */
export function dtypeOfTypedArray(array: TypedArray): DType {
  const dtype = TYPED_ARRAY_DTYPES[array[Symbol.toStringTag]];
  if (dtype === undefined) throw new TypeError(`no tensor dtype for ${array.constructor.name}`);
  return dtype;
}

const TYPED_ARRAY_DTYPES: Readonly<Record<string, DType>> = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Int8Array: 'int8',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
  Int16Array: 'int16',
  Uint16Array: 'uint16',
  Int32Array: 'int32',
  Uint32Array: 'uint32',
  BigInt64Array: 'int64',
  BigUint64Array: 'uint64',
};

export type { MemoryFormatName as MemoryFormat } from '@mezzo/libtorch';
