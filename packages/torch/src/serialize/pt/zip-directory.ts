import { readSync } from 'node:fs';
import type { Refuse } from './errors.ts';
import { LIMITS } from './limits.ts';

/** One file of a zip container, as its table of contents tells. */
export interface ZipEntry {
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  readonly crc32: number;
  /** Bytes in the container and unpacked. */
  readonly packedSize: number;
  readonly size: number;
  /** Where the entry's local header begins, and where the next entry or the table of contents does. */
  readonly headerStart: number;
  readonly end: number;
}

/** An entry by itself, before its neighbours are known. */
type ZipRow = Omit<ZipEntry, 'end'>;

const END = 0x06054b50;
const END_SIZE = 22;
const END64_LOCATOR = 0x07064b50;
const END64_LOCATOR_SIZE = 20;
const END64 = 0x06064b50;
const END64_SIZE = 56;
const CENTRAL = 0x02014b50;
const CENTRAL_SIZE = 46;
const LOCAL_SIZE = 30;
const LARGEST_COMMENT = 0xffff;
const ZIP64_FIELDS = 0x0001;
const IN_ZIP64 = 0xffffffff;
const METHODS: Readonly<Record<number, ZipEntry['method']>> = { 0: 'stored', 8: 'deflated' };

interface Directory {
  readonly start: number;
  readonly size: number;
  readonly entries: number;
}

/** Reads bytes [start, start + length) of an open file. */
export function readAt(fd: number, start: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const count = readSync(fd, bytes, 0, length, start);
  return count === length ? bytes : bytes.subarray(0, count);
}

/**
 * The table of contents at the end of a zip container (APPNOTE 6.3.10, with zip64). Everything it says is checked against
 * the size of the file: places, sizes, names given twice, entries that overlap or unpack to far more than the file.
 */
export function readDirectory(fd: number, fileSize: number, refuse: Refuse): Map<string, ZipEntry> {
  const { start, size, entries } = findDirectory(fd, fileSize, refuse);
  if (entries > LIMITS.entries || size > LIMITS.directoryBytes) {
    refuse('PT_LIMIT', `its table of contents claims ${entries} entries in ${size} bytes`);
  }
  if (start + size > fileSize) {
    refuse('PT_INVALID', `its table of contents should end at byte ${start + size} of ${fileSize}`);
  }
  const bytes = readAt(fd, start, size);
  const rows = new Map<string, ZipRow>();
  let position = 0;
  for (let i = 0; i < entries; i++) {
    const where = `table of contents, entry ${i}`;
    if (position + CENTRAL_SIZE > bytes.length || bytes.readUInt32LE(position) !== CENTRAL) {
      refuse('PT_INVALID', 'its table of contents is damaged', where);
    }
    const { row, length } = readRow(bytes, position, where, refuse);
    if (rows.has(row.name)) refuse('PT_INVALID', `'${row.name}' is in it twice`, where);
    rows.set(row.name, row);
    position += length;
  }
  checkInflation(rows.values(), fileSize, refuse);
  return bounded([...rows.values()], start, refuse);
}

function findDirectory(fd: number, fileSize: number, refuse: Refuse): Directory {
  const tailStart = Math.max(0, fileSize - END_SIZE - LARGEST_COMMENT);
  const tail = readAt(fd, tailStart, fileSize - tailStart);
  for (let at = tail.length - END_SIZE; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END || at + END_SIZE + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const plain = {
      entries: tail.readUInt16LE(at + 10),
      size: tail.readUInt32LE(at + 12),
      start: tail.readUInt32LE(at + 16),
    };
    return findDirectory64(fd, tailStart + at, refuse) ?? plain;
  }
  return refuse('PT_INVALID', 'its table of contents at the end is missing: the file was cut off');
}

function findDirectory64(fd: number, end: number, refuse: Refuse): Directory | undefined {
  const at = end - END64_LOCATOR_SIZE;
  if (at < 0) return undefined;
  const locator = readAt(fd, at, END64_LOCATOR_SIZE);
  if (locator.length < END64_LOCATOR_SIZE || locator.readUInt32LE(0) !== END64_LOCATOR) return undefined;
  const start = Number(locator.readBigUInt64LE(8));
  const record = start + END64_SIZE <= at ? readAt(fd, start, END64_SIZE) : Buffer.alloc(0);
  if (record.length < END64_SIZE || record.readUInt32LE(0) !== END64) {
    return refuse('PT_INVALID', 'its zip64 record is damaged', `byte ${start}`);
  }
  return {
    entries: Number(record.readBigUInt64LE(32)),
    size: Number(record.readBigUInt64LE(40)),
    start: Number(record.readBigUInt64LE(48)),
  };
}

function readRow(bytes: Buffer, at: number, where: string, refuse: Refuse): { row: ZipRow; length: number } {
  const nameLength = bytes.readUInt16LE(at + 28);
  const extraLength = bytes.readUInt16LE(at + 30);
  const length = CENTRAL_SIZE + nameLength + extraLength + bytes.readUInt16LE(at + 32);
  if (at + length > bytes.length) refuse('PT_INVALID', 'its table of contents is damaged', where);
  const nameStart = at + CENTRAL_SIZE;
  const name = bytes.toString('utf8', nameStart, nameStart + nameLength);
  if (bytes.readUInt16LE(at + 8) & 1) refuse('PT_UNSUPPORTED', `'${name}' is encrypted`, where);
  const number = bytes.readUInt16LE(at + 10);
  const method =
    METHODS[number] ?? refuse('PT_UNSUPPORTED', `'${name}' is compressed by method ${number}`, where);
  const extra = bytes.subarray(nameStart + nameLength, nameStart + nameLength + extraLength);
  const [size, packedSize, headerStart] =
    zip64Fields(extra, [
      bytes.readUInt32LE(at + 24),
      bytes.readUInt32LE(at + 20),
      bytes.readUInt32LE(at + 42),
    ]) ?? refuse('PT_INVALID', `the zip64 sizes of '${name}' are missing`, where);
  if (method === 'stored' && size !== packedSize) {
    refuse('PT_INVALID', `'${name}' is stored, but has two sizes, ${packedSize} and ${size}`, where);
  }
  return {
    row: { name, method, crc32: bytes.readUInt32LE(at + 16), packedSize, size, headerStart },
    length,
  };
}

/** Fields of 32 bits that are all ones stand in the extra field, in 64 bits and in this order. */
function zip64Fields(
  extra: Buffer,
  fields: readonly [number, number, number],
): readonly [number, number, number] | undefined {
  if (!fields.includes(IN_ZIP64)) return fields;
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== ZIP64_FIELDS) continue;
    const end = at + 4 + extra.readUInt16LE(at + 2);
    let position = at + 4;
    const wide: number[] = [];
    for (const field of fields) {
      if (field !== IN_ZIP64) {
        wide.push(field);
        continue;
      }
      if (position + 8 > Math.min(end, extra.length)) return undefined;
      wide.push(Number(extra.readBigUInt64LE(position)));
      position += 8;
    }
    return wide as unknown as readonly [number, number, number];
  }
  return undefined;
}

/** What the table of contents claims bounds what is unpacked: a bomb is refused before it grows. */
function checkInflation(rows: Iterable<ZipRow>, fileSize: number, refuse: Refuse): void {
  let inflated = 0;
  for (const { method, size } of rows) if (method === 'deflated') inflated += size;
  if (inflated <= Math.max(LIMITS.inflatedBytes, LIMITS.inflation * fileSize)) return;
  refuse(
    'PT_LIMIT',
    `its entries unpack to ${inflated} bytes, out of a file of ${fileSize}: a decompression bomb`,
  );
}

/** Entries that share bytes are how a small file unpacks to a huge one, or shows two readers different contents. */
function bounded(rows: readonly ZipRow[], directoryStart: number, refuse: Refuse): Map<string, ZipEntry> {
  const inOrder = rows.toSorted((a, b) => a.headerStart - b.headerStart);
  return new Map(
    inOrder.map((row, i) => {
      const { name, headerStart, packedSize } = row;
      const end = inOrder[i + 1]?.headerStart ?? directoryStart;
      if (headerStart + LOCAL_SIZE + Buffer.byteLength(name) + packedSize > end) {
        refuse(
          'PT_INVALID',
          `'${name}' of ${packedSize} bytes does not fit before what follows`,
          `byte ${headerStart}`,
        );
      }
      return [name, { ...row, end }];
    }),
  );
}
