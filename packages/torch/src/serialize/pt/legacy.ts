import { readSync } from 'node:fs';
import type { Container } from './container.ts';
import { elementBytes } from './dtypes.ts';
import type { Refuse } from './errors.ts';
import { LIMITS } from './limits.ts';
import { meaningOf } from './meaning.ts';
import { unpickle } from './pickle.ts';
import { Storages } from './tensor-views.ts';
import { readAt } from './zip-directory.ts';

/** A pickle of protocol 2 with the number 0x1950a86a20f9469cfc6c: how a file of PyTorch before 1.6 begins. */
const MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
const PROTOCOL = 1001;
/** Each storage is preceded by its number of elements. */
const COUNT_BYTES = 8;

export const isLegacy = (head: Buffer): boolean => head.subarray(0, MAGIC.length).equals(MAGIC);

/**
 * The container before PyTorch 1.6: pickles of a magic number, a protocol version, facts about the machine, the object,
 * and the keys of its storages; then the storages in the order of those keys.
 */
export function readLegacy(fd: number, fileSize: number, refuse: Refuse): Container {
  const bytes = readAt(fd, 0, Math.min(fileSize, LIMITS.pickleBytes));
  const storages = new Storages(() => null);
  let position = MAGIC.length;
  const next = (source: string) => {
    const { value, end } = unpickle(bytes, source, refuse, meaningOf(storages), position);
    position = end;
    return value;
  };
  const protocol = next('protocol version');
  if (protocol !== PROTOCOL) refuse('PT_UNSUPPORTED', `its container is of version ${String(protocol)}`);
  const machine = next('machine');
  if (machine instanceof Map && machine.get('little_endian') === false) {
    refuse('PT_UNSUPPORTED', 'its numbers are stored in big-endian order');
  }
  const value = next('object');
  const keys = next('storage keys');
  const starts = placeStorages(fd, fileSize, {
    keys: Array.isArray(keys) ? keys : [],
    position,
    storages,
    refuse,
  });
  return {
    format: 'legacy',
    value,
    readStorage: (open, { key }, target) => {
      const start = starts.get(key)!;
      for (let filled = 0; filled < target.byteLength; ) {
        const count = readSync(
          open,
          target,
          filled,
          Math.min(2 ** 30, target.byteLength - filled),
          start + filled,
        );
        if (count === 0) refuse('PT_INVALID', 'it became shorter while it was read', `storage ${key}`);
        filled += count;
      }
    },
  };
}

interface Placement {
  readonly keys: readonly unknown[];
  /** Where the first storage begins. */
  readonly position: number;
  readonly storages: Storages;
  readonly refuse: Refuse;
}

/** Where the data of each storage begins. */
function placeStorages(
  fd: number,
  fileSize: number,
  { keys, position, storages, refuse }: Placement,
): Map<string, number> {
  const starts = new Map<string, number>();
  let at = position;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.byKey.get(key) : undefined;
    if (storage === undefined)
      return refuse('PT_INVALID', 'it lists a storage that nothing uses', `byte ${at}`);
    const count = readAt(fd, at, COUNT_BYTES);
    const bytes = storage.elements * elementBytes(storage.dtype);
    const where = `storage ${storage.key}, byte ${at}`;
    if (count.length < COUNT_BYTES || at + COUNT_BYTES + bytes > fileSize)
      refuse('PT_INVALID', 'it was cut off', where);
    if (count.readBigInt64LE() !== BigInt(storage.elements)) {
      refuse('PT_INVALID', `${count.readBigInt64LE()} elements stand there, not ${storage.elements}`, where);
    }
    starts.set(storage.key, at + COUNT_BYTES);
    at += COUNT_BYTES + bytes;
  }
  for (const key of storages.byKey.keys()) {
    if (!starts.has(key)) refuse('PT_INVALID', `storage ${key} is not in the file`);
  }
  return starts;
}
