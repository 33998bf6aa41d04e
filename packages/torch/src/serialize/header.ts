import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { MezzoError } from '@mezzo/libtorch';
import type { DType } from '../tensor/dtype.ts';

/**
 * The safetensors container: 8 bytes little endian = length of a JSON header, the header, the data. The header
 * maps names to dtype, shape and the byte range in the data, which the tensors cover without gap or overlap.
 */

/** A file that is not what it claims to be; the message says why. */
export class SafetensorsError extends MezzoError {
  readonly path: string;

  constructor(path: string, reason: string, cause?: unknown) {
    super('SAFETENSORS_INVALID', `${path}: not a valid safetensors file: ${reason}`, {
      cause,
      hint: 'the file is damaged or incomplete: copy or download it again',
    });
    this.name = 'SafetensorsError';
    this.path = path;
  }
}

export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes [begin, end) in the data section. */
  readonly offsets: readonly [number, number];
}

export interface SafetensorsHeader {
  readonly metadata: Record<string, string>;
  readonly tensors: Record<string, TensorEntry>;
  /** Where the data section begins in the file. */
  readonly dataStart: number;
}

interface FileDType {
  readonly name: string;
  readonly dtype: DType;
  readonly bytes: number;
}

export const FILE_DTYPES: readonly FileDType[] = [
  { name: 'F64', dtype: 'float64', bytes: 8 },
  { name: 'I64', dtype: 'int64', bytes: 8 },
  { name: 'U64', dtype: 'uint64', bytes: 8 },
  { name: 'C64', dtype: 'complex64', bytes: 8 },
  { name: 'F32', dtype: 'float32', bytes: 4 },
  { name: 'I32', dtype: 'int32', bytes: 4 },
  { name: 'U32', dtype: 'uint32', bytes: 4 },
  { name: 'F16', dtype: 'float16', bytes: 2 },
  { name: 'BF16', dtype: 'bfloat16', bytes: 2 },
  { name: 'I16', dtype: 'int16', bytes: 2 },
  { name: 'U16', dtype: 'uint16', bytes: 2 },
  { name: 'F8_E4M3', dtype: 'float8_e4m3fn', bytes: 1 },
  { name: 'F8_E5M2', dtype: 'float8_e5m2', bytes: 1 },
  { name: 'I8', dtype: 'int8', bytes: 1 },
  { name: 'U8', dtype: 'uint8', bytes: 1 },
  { name: 'BOOL', dtype: 'bool', bytes: 1 },
];

const byName = new Map(FILE_DTYPES.map((entry) => [entry.name, entry]));

/** As the reference implementation: a longer header is an attack or an accident. */
const LARGEST_HEADER = 100_000_000;
const METADATA = '__metadata__';

/**
 * Reads and checks the header of a file, not its data; needs no LibTorch.
 * @throws SafetensorsError when it is damaged, MezzoError READ_FAILED when it cannot be opened
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const fd = openForReading(path);
  try {
    return readHeader(fd, path);
  } finally {
    closeSync(fd);
  }
}

/** @throws MezzoError READ_FAILED */
export function openForReading(path: string): number {
  try {
    // A pipe would otherwise be waited for until somebody writes to it.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'no such file' : message;
    throw new MezzoError('READ_FAILED', `cannot read ${path}: ${reason}`, { cause: error });
  }
}

export function readHeader(fd: number, path: string): SafetensorsHeader {
  const stats = fstatSync(fd);
  if (!stats.isFile()) throw new SafetensorsError(path, 'it is not a file');
  const fileSize = stats.size;
  if (fileSize < 8)
    throw new SafetensorsError(path, `it has ${fileSize} bytes, fewer than the 8 of its length field`);
  const lengthField = Buffer.alloc(8);
  readSync(fd, lengthField, 0, 8, 0);
  const length = lengthField.readBigUInt64LE();
  if (length > LARGEST_HEADER) {
    throw new SafetensorsError(
      path,
      `its header claims ${length} bytes, more than the ${LARGEST_HEADER} allowed`,
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > fileSize) {
    throw new SafetensorsError(
      path,
      `its header claims ${length} bytes, but only ${fileSize - 8} follow (truncated)`,
    );
  }
  const text = Buffer.alloc(Number(length));
  readSync(fd, text, 0, text.length, 8);
  const { metadata, tensors } = parseHeader(text, path);
  checkLayout(tensors, fileSize - dataStart, path);
  return { metadata, tensors, dataStart };
}

function parseHeader(bytes: Buffer, path: string): Pick<SafetensorsHeader, 'metadata' | 'tensors'> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new SafetensorsError(path, 'its header is not JSON text', error);
  }
  if (!isObject(header)) throw new SafetensorsError(path, 'its header is not a JSON object');
  const { [METADATA]: metadata = {}, ...entries } = header;
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new SafetensorsError(path, 'its __metadata__ is not a map of strings to strings');
  }
  const tensors = Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [name, parseEntry(name, entry, path)]),
  );
  return { metadata: metadata as Record<string, string>, tensors };
}

function parseEntry(name: string, entry: unknown, path: string): TensorEntry {
  const fail = (reason: string) => new SafetensorsError(path, `tensor '${name}' ${reason}`);
  if (!isObject(entry)) throw fail('is not described by an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  const fileDType = byName.get(dtype as string);
  if (fileDType === undefined) throw fail(`has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!isSizes(shape)) throw fail(`has the shape ${JSON.stringify(shape)}, which is not a list of sizes`);
  // Beside a size of 0 the others may be anything; LibTorch counts with them all the same.
  if (!Number.isSafeInteger(shape.reduce((product, size) => product * Math.max(1, size), 8))) {
    throw fail(`has the shape [${shape.join(', ')}], which is too large`);
  }
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw fail(`has the data_offsets ${JSON.stringify(offsets)}, which are not a range`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce((product, size) => product * size, fileDType.bytes);
  if (end - begin !== expected) {
    throw fail(`holds ${end - begin} bytes, but ${dtype} of shape [${shape.join(', ')}] takes ${expected}`);
  }
  return { dtype: fileDType.dtype, shape, offsets: [begin, end] };
}

/** The byte ranges must follow each other and fill the data section. */
function checkLayout(tensors: Record<string, TensorEntry>, dataSize: number, path: string): void {
  const entries = Object.entries(tensors).sort(
    ([, a], [, b]) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1],
  );
  let position = 0;
  for (const [name, { offsets }] of entries) {
    const [begin, end] = offsets;
    if (begin < position)
      throw new SafetensorsError(path, `tensor '${name}' overlaps another one at byte ${begin}`);
    if (begin > position) {
      throw new SafetensorsError(
        path,
        `bytes ${position} to ${begin} before tensor '${name}' belong to no tensor`,
      );
    }
    position = end;
  }
  if (position > dataSize) {
    throw new SafetensorsError(
      path,
      `its tensors take ${position} bytes, but only ${dataSize} follow (truncated)`,
    );
  }
  if (position < dataSize) {
    throw new SafetensorsError(
      path,
      `${dataSize - position} bytes after the last tensor belong to no tensor`,
    );
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

/**
 * The length field and the header, padded with spaces so that the data begins at a multiple of 8.
 * @param entries in the order in which names appear in the header
 */
export function encodeHeader(
  entries: readonly (readonly [name: string, entry: TensorEntry])[],
  metadata: Readonly<Record<string, string>> | undefined,
): Buffer {
  const header: [string, unknown][] = metadata === undefined ? [] : [[METADATA, metadata]];
  for (const [name, { dtype, shape, offsets }] of entries) {
    const fileName = FILE_DTYPES.find((entry) => entry.dtype === dtype)!.name;
    header.push([name, { dtype: fileName, shape, data_offsets: offsets }]);
  }
  // Written pair by pair: an object would move names that look like integers to the front.
  const text = `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const bytes = Buffer.from(text);
  const length = Math.ceil(bytes.length / 8) * 8;
  const result = Buffer.alloc(8 + length, ' ');
  result.writeBigUInt64LE(BigInt(length));
  bytes.copy(result, 8);
  return result;
}
