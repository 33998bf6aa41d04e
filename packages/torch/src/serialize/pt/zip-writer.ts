import { writeFully } from '../atomic.ts';
import { crc32 } from './crc32.ts';

const VERSION = 45;
const UTF8_NAMES = 0x0800;
/** 1 January 1980: the same tensors give the same file. */
const DATE = 0x0021;
const ALL_ONES = 0xffffffff;
/** Data begins at multiples of this, as torch.save has it, so that it can be mapped into memory. */
const ALIGNMENT = 64;
const LOCAL_SIZE = 30;
const ZIP64_BYTES = 20;

interface Written {
  readonly name: Buffer;
  readonly size: number;
  readonly crc32: number;
  readonly headerStart: number;
}

/** Writes a zip container of stored entries, one after the other. Sizes are always zip64, as in torch.save's files. */
export class ZipWriter {
  readonly #fd: number;
  readonly #written: Written[] = [];
  #position = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  add(name: string, content: Uint8Array): void {
    const entry = {
      name: Buffer.from(name),
      size: content.byteLength,
      crc32: crc32(content),
      headerStart: this.#position,
    };
    this.#write(localHeader(entry));
    this.#write(content);
    this.#written.push(entry);
  }

  /** Writes the table of contents. */
  finish(): void {
    const start = this.#position;
    for (const entry of this.#written) this.#write(centralHeader(entry));
    const end = this.#position;
    this.#write(endRecords(this.#written.length, start, end));
  }

  #write(bytes: Uint8Array): void {
    writeFully(this.#fd, bytes);
    this.#position += bytes.byteLength;
  }
}

function localHeader(entry: Written): Buffer {
  const { name, size, crc32: sum, headerStart } = entry;
  const fixed = headerStart + LOCAL_SIZE + name.length + ZIP64_BYTES;
  // An extra field of any other number is passed over by readers; torch.save pads with one called FB.
  const padding = (ALIGNMENT - ((fixed + 4) % ALIGNMENT)) % ALIGNMENT;
  const header = Buffer.alloc(LOCAL_SIZE);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(VERSION, 4);
  header.writeUInt16LE(UTF8_NAMES, 6);
  header.writeUInt16LE(DATE, 12);
  header.writeUInt32LE(sum, 14);
  header.writeUInt32LE(ALL_ONES, 18);
  header.writeUInt32LE(ALL_ONES, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(ZIP64_BYTES + 4 + padding, 28);
  const pad = Buffer.alloc(4 + padding, 'Z');
  pad.write('FB', 0);
  pad.writeUInt16LE(padding, 2);
  return Buffer.concat([header, name, zip64Field([size, size]), pad]);
}

function centralHeader({ name, size, crc32: sum, headerStart }: Written): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(VERSION, 4);
  header.writeUInt16LE(VERSION, 6);
  header.writeUInt16LE(UTF8_NAMES, 8);
  header.writeUInt16LE(DATE, 14);
  header.writeUInt32LE(sum, 16);
  header.writeUInt32LE(ALL_ONES, 20);
  header.writeUInt32LE(ALL_ONES, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(ZIP64_BYTES + 8, 30);
  header.writeUInt32LE(ALL_ONES, 42);
  return Buffer.concat([header, name, zip64Field([size, size, headerStart])]);
}

function zip64Field(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(0x0001, 0);
  field.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, i) => {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  });
  return field;
}

function endRecords(entries: number, start: number, end: number): Buffer {
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE(VERSION, 12);
  record.writeUInt16LE(VERSION, 14);
  record.writeBigUInt64LE(BigInt(entries), 24);
  record.writeBigUInt64LE(BigInt(entries), 32);
  record.writeBigUInt64LE(BigInt(end - start), 40);
  record.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(end), 8);
  locator.writeUInt32LE(1, 16);
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50, 0);
  last.writeUInt16LE(0xffff, 8);
  last.writeUInt16LE(0xffff, 10);
  last.writeUInt32LE(ALL_ONES, 12);
  last.writeUInt32LE(ALL_ONES, 16);
  return Buffer.concat([record, locator, last]);
}
