import { fstatSync } from 'node:fs';
import { elementBytes } from './dtypes.ts';
import { type Refuse, refusing } from './errors.ts';
import { refuseForeign, refuseForeignZip, refuseScript } from './foreign.ts';
import { isLegacy, readLegacy } from './legacy.ts';
import { LIMITS } from './limits.ts';
import { meaningOf } from './meaning.ts';
import { unpickle } from './pickle.ts';
import { Storages } from './tensor-views.ts';
import type { PtStorage, PtValue } from './values.ts';
import { readAt, readDirectory } from './zip-directory.ts';
import { ZipEntries } from './zip-entries.ts';

/** A parsed file; storages can be read as long as it is open. */
export interface Container {
  readonly format: 'zip' | 'legacy';
  readonly value: PtValue;
  /** Fills `target`, which has the storage's bytes. */
  readStorage(fd: number, storage: PtStorage, target: Uint8Array): void;
}

const ZIP_ENTRY = 0x04034b50;
const ZIP_END = 0x06054b50;
const HEAD_BYTES = 512;

/** Reads everything but the tensors' data. @param fd of the file at `path` */
export function readContainer(fd: number, path: string): Container {
  const refuse = refusing(path);
  const stats = fstatSync(fd);
  if (!stats.isFile()) refuse('PT_FOREIGN', 'it is not a file');
  const head = readAt(fd, 0, Math.min(HEAD_BYTES, stats.size));
  if (isLegacy(head)) return readLegacy(fd, stats.size, refuse);
  const signature = head.length < 4 ? 0 : head.readUInt32LE(0);
  if (signature !== ZIP_ENTRY && signature !== ZIP_END) return refuseForeign(head, refuse);
  return readZip(fd, stats.size, refuse);
}

function readZip(fd: number, fileSize: number, refuse: Refuse): Container {
  const directory = readDirectory(fd, fileSize, refuse);
  const names = [...directory.keys()];
  const programs = names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (programs.length > 1) refuse('PT_INVALID', `it has ${programs.length} files data.pkl`);
  const [program] = programs;
  if (program === undefined) return refuseForeignZip(names, refuse);
  const root = program.slice(0, program.indexOf('/'));
  refuseScript(names, root, refuse);
  const entries = new ZipEntries(fd, refuse);
  const order = directory.get(`${root}/byteorder`);
  if (order !== undefined) {
    const text = Buffer.from(entries.read(order, 64)).toString('latin1').trim();
    if (text !== 'little') refuse('PT_UNSUPPORTED', `its numbers are stored in ${text}-endian order`);
  }
  const bytes = Buffer.from(entries.read(directory.get(program)!, LIMITS.pickleBytes));
  const entryOf = (key: string) => directory.get(`${root}/data/${key}`);
  const storages = new Storages((key, machine) => {
    return entryOf(key)?.size ?? machine.fail('PT_INVALID', `storage ${key} is not in the file`);
  });
  const { value } = unpickle(bytes, 'data.pkl', refuse, meaningOf(storages));
  return {
    format: 'zip',
    value,
    readStorage: (open, storage, target) =>
      new ZipEntries(open, refuse).readInto(entryOf(storage.key)!, target),
  };
}

/** Bytes of a storage. */
export const storageBytes = ({ elements, dtype }: PtStorage): number => elements * elementBytes(dtype);
