import { closeSync, readSync } from 'node:fs';
import { MezzoError, native } from '@mezzo/libtorch';
import { empty } from '../tensor/creation.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { writeAtomically, writeFully } from './atomic.ts';
import {
  encodeHeader,
  FILE_DTYPES,
  openForReading,
  readHeader,
  SafetensorsError,
  type SafetensorsHeader,
  type TensorEntry,
} from './header.ts';

export interface LoadSafetensorsOptions {
  /** Where the tensors go; 'cpu' by default. */
  device?: string;
  /** Which tensors to read; all by default. */
  filter?: (name: string, entry: TensorEntry) => boolean;
}

export interface LoadedSafetensors {
  readonly tensors: Record<string, Tensor>;
  readonly metadata: Record<string, string>;
}

/**
 * Writes tensors (and strings in `metadata`) to a safetensors file, atomically and synchronously, so that no
 * training step can change them meanwhile. Tensors are streamed from their own memory; only those that are
 * not in row-major order or not on the CPU are copied, one at a time.
 * @throws MezzoError WRITE_FAILED, or UNSUPPORTED_DTYPE for a dtype the format lacks
 */
export function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const { entries, inFileOrder } = layOut(tensors);
  const header = encodeHeader(entries, metadata);
  writeAtomically(path, (fd) => {
    writeFully(fd, header);
    for (const [, tensor] of inFileOrder) writeTensor(fd, tensor);
  });
}

/**
 * Reads a safetensors file straight into the memory of new tensors, in the order of the header.
 * @throws SafetensorsError when the file is damaged; nothing is read then
 */
export function loadSafetensors(path: string, options: LoadSafetensorsOptions = {}): LoadedSafetensors {
  const fd = openForReading(path);
  try {
    const header = readHeader(fd, path);
    const { filter = () => true } = options;
    const wanted = Object.entries(header.tensors).filter(([name, entry]) => filter(name, entry));
    // A tensor may be called `__proto__`: fromEntries makes that a name like any other.
    const tensors = Object.fromEntries(
      wanted.map(([name, entry]) => [name, readTensor(fd, path, header, entry, options.device)]),
    );
    return { tensors, metadata: header.metadata };
  } finally {
    closeSync(fd);
  }
}

interface Layout {
  /** In the caller's order. */
  readonly entries: [name: string, entry: TensorEntry][];
  /** In the order of the data: large element sizes first, so that every tensor is aligned to its own. */
  readonly inFileOrder: [name: string, tensor: Tensor][];
}

function layOut(tensors: Readonly<Record<string, Tensor>>): Layout {
  const widths = new Map(FILE_DTYPES.map(({ dtype, bytes }) => [dtype, bytes]));
  const described = Object.entries(tensors).map(([name, tensor]) => {
    const { dtype, shape } = tensor;
    const width = widths.get(dtype);
    if (width === undefined) {
      throw new MezzoError(
        'UNSUPPORTED_DTYPE',
        `saveSafetensors: '${name}' is ${dtype}, which safetensors cannot hold`,
      );
    }
    const bytes = shape.reduce((product, size) => product * size, width);
    return { name, tensor, dtype, shape, width, bytes, begin: 0 };
  });
  const inFileOrder = described.toSorted((a, b) => b.width - a.width || (a.name < b.name ? -1 : 1));
  let position = 0;
  for (const entry of inFileOrder) {
    entry.begin = position;
    position += entry.bytes;
  }
  return {
    entries: described.map(({ name, dtype, shape, begin, bytes }) => [
      name,
      { dtype, shape, offsets: [begin, begin + bytes] },
    ]),
    inFileOrder: inFileOrder.map(({ name, tensor }) => [name, tensor]),
  };
}

function writeTensor(fd: number, tensor: Tensor): void {
  scope(() => {
    const rowMajor = tensor.detach().cpu().contiguous();
    if (rowMajor.numel() > 0) writeFully(fd, new Uint8Array(native().bytesView(rowMajor.handle)));
  });
}

function readTensor(
  fd: number,
  path: string,
  { dataStart }: SafetensorsHeader,
  { dtype, shape, offsets: [begin, end] }: TensorEntry,
  device = 'cpu',
): Tensor {
  return scope(() => {
    const tensor = empty(shape, { dtype });
    if (end > begin) {
      const bytes = new Uint8Array(native().bytesView(tensor.handle));
      readFully(fd, path, bytes, dataStart + begin);
      // Any byte but 0 means true in a file, but only 1 does in a bool of C++.
      if (dtype === 'bool') for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i] === 0 ? 0 : 1;
    }
    return device === 'cpu' ? tensor : tensor.to(device);
  });
}

/** One read call gives at most 2 GiB, and may give less than asked. */
const LARGEST_READ = 2 ** 30;

function readFully(fd: number, path: string, target: Uint8Array, position: number): void {
  let filled = 0;
  while (filled < target.byteLength) {
    const length = Math.min(LARGEST_READ, target.byteLength - filled);
    const count = readSync(fd, target, filled, length, position + filled);
    if (count === 0) throw new SafetensorsError(path, 'it became shorter while it was read');
    filled += count;
  }
}
