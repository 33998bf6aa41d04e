import { closeSync, openSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { ZipWriter } from '../src/serialize/pt/zip-writer.ts';

/** Entries of a .pt file by name, without the root. */
export type PtEntries = Readonly<Record<string, Uint8Array>>;

/** Writes a zip container as torch.save lays it out. */
export function writePt(path: string, entries: PtEntries, root = 'archive'): string {
  const fd = openSync(path, 'w');
  try {
    const zip = new ZipWriter(fd);
    for (const [name, content] of Object.entries(entries)) zip.add(`${root}/${name}`, content);
    zip.finish();
  } finally {
    closeSync(fd);
  }
  return path;
}

/** A pickle of protocol 2 from its opcodes: text stands for its bytes, numbers for themselves. */
export function program(...parts: readonly (string | number | readonly number[])[]): Buffer {
  const bytes = parts.map((part) =>
    typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from([part].flat()),
  );
  return Buffer.concat([Buffer.from([0x80, 2]), ...bytes, Buffer.from('.')]);
}

/** BINUNICODE. */
export function text(value: string): string {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(value));
  return `X${length.toString('latin1')}${Buffer.from(value).toString('latin1')}`;
}

/** GLOBAL. */
export const named = (module: string, name: string): string => `c${module}\n${name}\n`;

/** BININT: -2^31 … 2^31 - 1. */
export function int(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return `J${bytes.toString('latin1')}`;
}

/** A float tensor over storage `key` of `elements`. */
export function tensorOf(
  key: string,
  elements: number,
  view: { offset?: number; shape: readonly number[]; stride: readonly number[] },
): string {
  const id = `(${text('storage')}${named('torch', 'FloatStorage')}${text(key)}${text('cpu')}${int(elements)}tQ`;
  const sizes = (values: readonly number[]) => `(${values.map(int).join('')}t`;
  const hooks = `${named('collections', 'OrderedDict')})R`;
  const args = `(${id}${int(view.offset ?? 0)}${sizes(view.shape)}${sizes(view.stride)}\x89${hooks}t`;
  return `${named('torch._utils', '_rebuild_tensor_v2')}${args}R`;
}

/** The same zip with every entry deflated, by the plain rules of the format (no zip64). */
export function compressed(zip: Buffer): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let position = 0;
  let from = 0;
  while (zip.readUInt32LE(from) === 0x04034b50) {
    const [nameLength, extraLength] = [zip.readUInt16LE(from + 26), zip.readUInt16LE(from + 28)];
    const name = zip.subarray(from + 30, from + 30 + nameLength);
    const start = from + 30 + nameLength + extraLength;
    const end = nextEntry(zip, start);
    const plain = plainEntry(zip, name.toString());
    const packed = deflateRawSync(plain.content);
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50);
    header.writeUInt16LE(8, 8);
    header.writeUInt32LE(plain.crc, 14);
    header.writeUInt32LE(packed.length, 18);
    header.writeUInt32LE(plain.content.length, 22);
    header.writeUInt16LE(nameLength, 26);
    const row = Buffer.alloc(46);
    row.writeUInt32LE(0x02014b50);
    header.copy(row, 6, 4, 30);
    row.writeUInt16LE(0, 30);
    row.writeUInt32LE(position, 42);
    parts.push(header, name, packed);
    central.push(row, name);
    position += 30 + nameLength + packed.length;
    from = end;
  }
  const table = Buffer.concat(central);
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50);
  last.writeUInt16LE(central.length / 2, 8);
  last.writeUInt16LE(central.length / 2, 10);
  last.writeUInt32LE(table.length, 12);
  last.writeUInt32LE(position, 16);
  return Buffer.concat([...parts, table, last]);
}

function nextEntry(zip: Buffer, from: number): number {
  const local = zip.indexOf(Buffer.from('PK\x03\x04', 'latin1'), from);
  return local < 0 ? zip.indexOf(Buffer.from('PK\x01\x02', 'latin1'), from) : local;
}

/** Size and checksum stand in the table of contents: torch.save leaves them out of local headers. */
function plainEntry(zip: Buffer, wanted: string): { content: Buffer; crc: number } {
  let at = zip.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  for (;;) {
    const lengths = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset)) as [number, number, number];
    const name = zip.toString('latin1', at + 46, at + 46 + lengths[0]);
    if (name === wanted) {
      const start = zip.readUInt32LE(at + 42);
      const data = start + 30 + zip.readUInt16LE(start + 26) + zip.readUInt16LE(start + 28);
      return {
        content: zip.subarray(data, data + zip.readUInt32LE(at + 24)),
        crc: zip.readUInt32LE(at + 16),
      };
    }
    at += 46 + lengths[0] + lengths[1] + lengths[2];
  }
}
