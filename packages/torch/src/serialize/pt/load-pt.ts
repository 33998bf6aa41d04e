import { closeSync, fstatSync } from 'node:fs';
import { native } from '@mezzo/libtorch';
import { op } from '../../ops/call.ts';
import { empty } from '../../tensor/creation.ts';
import type { DType } from '../../tensor/dtype.ts';
import { scope } from '../../tensor/scope.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { openForReading } from '../header.ts';
import { type Container, readContainer, storageBytes } from './container.ts';
import { elementBytes } from './dtypes.ts';
import { type Refuse, refusing } from './errors.ts';
import { LIMITS } from './limits.ts';
import { describe } from './pickle-machine.ts';
import { stateDictOf } from './state-dict.ts';
import type { PtStorage, PtTensor, PtValue } from './values.ts';

export interface LoadPtOptions {
  /** Where the tensors go; 'cpu' by default. */
  device?: string;
}

/** A .pt file: what it holds, without the numbers, and a way to get those. */
export interface PtFile {
  readonly path: string;
  /** `legacy` is the container of PyTorch before 1.6. */
  readonly format: 'zip' | 'legacy';
  readonly value: PtValue;
  /** The state dict, when `part` (by default the whole) is a dict of tensors or a network; undefined otherwise. */
  stateDict(part?: PtValue): Map<string, PtTensor> | undefined;
  /**
   * Reads tensors. Each storage is read once; tensors that share one in the file share memory here, and strides are
   * kept, as in PyTorch.
   * @throws PtError when the data is damaged; nothing is kept then
   */
  load(tensors: Iterable<readonly [string, PtTensor]>, options?: LoadPtOptions): Record<string, Tensor>;
}

/**
 * Reads a file that torch.save wrote, without running anything in it: the pickle is interpreted over inert values. Needs
 * no LibTorch until tensors are loaded.
 * @throws PtError when the file is damaged, foreign or malicious; MezzoError READ_FAILED when it cannot be opened
 */
export function readPt(path: string): PtFile {
  const refuse = refusing(path);
  const { container, stamp } = withFile(path, (fd) => ({
    container: readContainer(fd, path),
    stamp: stampOf(fd),
  }));
  return {
    path,
    format: container.format,
    value: container.value,
    stateDict: (part = container.value) => stateDictOf(part, refuse),
    load: (tensors, { device = 'cpu' } = {}) =>
      withFile(path, (fd) => {
        if (stampOf(fd) !== stamp) refuse('PT_INVALID', 'it was changed while it was read');
        const wanted = [...tensors];
        checkVolume(wanted, fstatSync(fd).size, refuse);
        return loadTensors(wanted, { fd, container, device });
      }),
  };
}

/**
 * The tensors of a state dict, or of a network that was saved as an object, by name.
 * @throws PtError as readPt; PT_UNSUPPORTED when the file holds something else
 */
export function loadPt(path: string, options: LoadPtOptions = {}): Record<string, Tensor> {
  const file = readPt(path);
  const state = file.stateDict();
  if (state === undefined) {
    return refusing(path)(
      'PT_UNSUPPORTED',
      `it holds ${describe(file.value)}, neither a dict of tensors nor a network`,
    );
  }
  return file.load(state, options);
}

function withFile<T>(path: string, use: (fd: number) => T): T {
  const fd = openForReading(path);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function stampOf(fd: number): string {
  const { size, mtimeMs, ino } = fstatSync(fd);
  return `${ino} ${size} ${mtimeMs}`;
}

/** Expanded and overlapping tensors: a file of a few bytes must not become terabytes when it is written out. */
function checkVolume(
  tensors: readonly (readonly [string, PtTensor])[],
  fileSize: number,
  refuse: Refuse,
): void {
  const limit = LIMITS.inflation * fileSize + LIMITS.overlappingBytes;
  let total = 0;
  for (const [name, tensor] of tensors) {
    total += tensor.numel * elementBytes(tensor.dtype);
    if (total > limit) {
      refuse('PT_LIMIT', `its tensors take more than ${limit} bytes, out of a file of ${fileSize}`, name);
    }
  }
}

interface Source {
  readonly fd: number;
  readonly container: Container;
  readonly device: string;
}

function loadTensors(
  tensors: readonly (readonly [string, PtTensor])[],
  source: Source,
): Record<string, Tensor> {
  return scope(() => {
    const storages = new Map<PtStorage, Tensor>();
    const loaded = tensors.map(([name, tensor]): [string, Tensor] => {
      const base = storages.get(tensor.storage) ?? loadStorage(tensor.storage, source);
      storages.set(tensor.storage, base);
      const typed = tensor.storage.dtype === null ? asDType(base, tensor.dtype) : base;
      return [name, typed.asStrided(tensor.shape, tensor.stride, tensor.offset)];
    });
    return Object.fromEntries(loaded);
  });
}

function loadStorage(storage: PtStorage, { fd, container, device }: Source): Tensor {
  const tensor = empty([storage.elements], { dtype: storage.dtype ?? 'uint8' });
  if (storage.elements > 0) {
    const bytes = new Uint8Array(native().bytesView(tensor.handle), 0, storageBytes(storage));
    container.readStorage(fd, storage, bytes);
    // Any byte but 0 means true in a file, but only 1 does in a bool of C++.
    if (storage.dtype === 'bool') for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i] === 0 ? 0 : 1;
  }
  return device === 'cpu' ? tensor : tensor.to(device);
}

const viewDType = op('aten::view', 'dtype');

/** The bytes of an untyped storage as elements; what is left over at the end belongs to none. */
function asDType(bytes: Tensor, dtype: DType): Tensor {
  if (dtype === 'bool') return bytes.ne(0);
  const whole = bytes.numel() - (bytes.numel() % elementBytes(dtype));
  return viewDType(bytes.narrow(0, 0, whole), dtype) as Tensor;
}
