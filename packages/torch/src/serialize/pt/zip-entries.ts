import { readSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { crc32 } from './crc32.ts';
import type { Refuse } from './errors.ts';
import { readAt, type ZipEntry } from './zip-directory.ts';

const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
/** One read call gives at most 2 GiB. */
const LARGEST_READ = 2 ** 30;

/** Reads the entries of a zip container: each once, straight to where it goes, with its checksum. */
export class ZipEntries {
  readonly #fd: number;
  readonly #refuse: Refuse;

  constructor(fd: number, refuse: Refuse) {
    this.#fd = fd;
    this.#refuse = refuse;
  }

  /** The bytes of an entry of at most `limit` bytes. */
  read(entry: ZipEntry, limit: number): Uint8Array {
    if (entry.size > limit) {
      this.#refuse('PT_LIMIT', `'${entry.name}' has ${entry.size} bytes, more than the ${limit} allowed`);
    }
    if (entry.method === 'deflated') return this.#inflate(entry);
    const bytes = Buffer.alloc(entry.size);
    this.readInto(entry, bytes);
    return bytes;
  }

  /** Fills `target`, which has the entry's size. */
  readInto(entry: ZipEntry, target: Uint8Array): void {
    if (entry.method === 'deflated') {
      target.set(this.#inflate(entry));
      return;
    }
    const start = this.#dataStart(entry);
    let sum = 0;
    for (let filled = 0; filled < target.byteLength; ) {
      const length = Math.min(LARGEST_READ, target.byteLength - filled);
      const count = readSync(this.#fd, target, filled, length, start + filled);
      if (count === 0) this.#refuse('PT_INVALID', 'it became shorter while it was read', entry.name);
      sum = crc32(target.subarray(filled, filled + count), sum);
      filled += count;
    }
    this.#checkSum(entry, sum);
  }

  #inflate(entry: ZipEntry): Uint8Array {
    const packed = readAt(this.#fd, this.#dataStart(entry), entry.packedSize);
    const bytes = this.#inflateBytes(packed, entry);
    if (bytes.length !== entry.size) {
      this.#refuse('PT_INVALID', `it unpacks to ${bytes.length} bytes, not ${entry.size}`, entry.name);
    }
    this.#checkSum(entry, crc32(bytes));
    return bytes;
  }

  #inflateBytes(packed: Uint8Array, entry: ZipEntry): Uint8Array {
    try {
      return inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.size) });
    } catch (error) {
      return this.#refuse('PT_INVALID', 'its compressed data is damaged', entry.name, error);
    }
  }

  /** Behind the local header, whose name and padding may be longer than the table of contents tells. */
  #dataStart({ name, headerStart, packedSize, end }: ZipEntry): number {
    const header = readAt(this.#fd, headerStart, LOCAL_SIZE);
    if (header.length < LOCAL_SIZE || header.readUInt32LE(0) !== LOCAL) {
      this.#refuse(
        'PT_INVALID',
        'there is no entry where the table of contents says',
        `${name}, byte ${headerStart}`,
      );
    }
    const nameLength = header.readUInt16LE(26);
    const local = readAt(this.#fd, headerStart + LOCAL_SIZE, nameLength).toString('utf8');
    if (local !== name) {
      this.#refuse('PT_INVALID', `the entry there calls itself '${local}'`, `${name}, byte ${headerStart}`);
    }
    const start = headerStart + LOCAL_SIZE + nameLength + header.readUInt16LE(28);
    if (start + packedSize > end) this.#refuse('PT_INVALID', 'its data runs into what follows', name);
    return start;
  }

  #checkSum(entry: ZipEntry, sum: number): void {
    if (sum !== entry.crc32) {
      this.#refuse('PT_INVALID', 'its checksum is wrong: some of its bytes were changed', entry.name);
    }
  }
}
