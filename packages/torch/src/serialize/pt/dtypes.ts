import type { DType } from '../../tensor/dtype.ts';

interface PtDType {
  readonly dtype: DType;
  readonly bytes: number;
  /** The class of its typed storages in module `torch`; the youngest dtypes have none and lie in untyped ones. */
  readonly storage: string | null;
}

/** Names as in `torch.float32`; quantized tensors are kept as opaque objects. */
export const PT_DTYPES: readonly PtDType[] = [
  { dtype: 'float32', bytes: 4, storage: 'FloatStorage' },
  { dtype: 'float64', bytes: 8, storage: 'DoubleStorage' },
  { dtype: 'float16', bytes: 2, storage: 'HalfStorage' },
  { dtype: 'bfloat16', bytes: 2, storage: 'BFloat16Storage' },
  { dtype: 'int64', bytes: 8, storage: 'LongStorage' },
  { dtype: 'int32', bytes: 4, storage: 'IntStorage' },
  { dtype: 'int16', bytes: 2, storage: 'ShortStorage' },
  { dtype: 'int8', bytes: 1, storage: 'CharStorage' },
  { dtype: 'uint8', bytes: 1, storage: 'ByteStorage' },
  { dtype: 'bool', bytes: 1, storage: 'BoolStorage' },
  { dtype: 'complex64', bytes: 8, storage: 'ComplexFloatStorage' },
  { dtype: 'complex128', bytes: 16, storage: 'ComplexDoubleStorage' },
  { dtype: 'complex32', bytes: 4, storage: null },
  { dtype: 'uint16', bytes: 2, storage: null },
  { dtype: 'uint32', bytes: 4, storage: null },
  { dtype: 'uint64', bytes: 8, storage: null },
  { dtype: 'float8_e4m3fn', bytes: 1, storage: null },
  { dtype: 'float8_e5m2', bytes: 1, storage: null },
];

const byDType = new Map(PT_DTYPES.map((entry) => [entry.dtype, entry]));
const byStorage = new Map(PT_DTYPES.map(({ storage, dtype }) => [storage, dtype]));

/** Python's other names of dtypes. */
const ALIASES: Readonly<Record<string, DType>> = {
  float: 'float32',
  double: 'float64',
  half: 'float16',
  long: 'int64',
  int: 'int32',
  short: 'int16',
};

export const ptDType = (dtype: DType): PtDType | undefined => byDType.get(dtype);

/** The dtype of a class such as `FloatStorage`. */
export const dtypeOfStorage = (className: string): DType | undefined => byStorage.get(className);

/** The dtype that `torch.NAME` is. */
export const dtypeNamed = (name: string): DType | undefined =>
  byDType.get(name as DType)?.dtype ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);

/** Bytes of an element; 1 for the elements of an untyped storage. */
export const elementBytes = (dtype: DType | null): number => (dtype === null ? 1 : byDType.get(dtype)!.bytes);
