import { hostname } from 'node:os';
import { crc32c } from './crc32c.ts';

/**
 * TensorBoard's event files: records of length, masked CRC-32C, an `Event` message of
 * tensorflow/core/util/event.proto, masked CRC-32C. What writes the bytes is the caller's.
 */

/** A name under which TensorBoard finds a file that is begun now. */
export const eventFileName = (seconds: number): string =>
  `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}.0`;

/** The first record of a file; `seconds` since 1970. */
export const fileVersion = (seconds: number): Uint8Array =>
  record([...wallTime(seconds), ...textField(3, 'brain.Event:2')]);

/** One point of the curve of every tag; `step`, a whole number from 0, is its position along x. */
export function scalarsRecord(
  step: number,
  values: Iterable<readonly [tag: string, value: number]>,
  seconds: number,
): Uint8Array {
  const summary: number[] = [];
  for (const [tag, value] of values) {
    const point = [
      ...textField(1, tag),
      ...key(2, FIXED32),
      ...new Uint8Array(Float32Array.of(value).buffer),
    ];
    summary.push(...bytesField(1, point));
  }
  return record([...wallTime(seconds), ...key(2, VARINT), ...varint(step), ...bytesField(5, summary)]);
}

/** A picture: an encoded PNG or JPEG file of so many pixels. */
export function imageRecord(
  step: number,
  tag: string,
  { bytes, width, height }: { bytes: Uint8Array; width: number; height: number },
  seconds: number,
): Uint8Array {
  const head = [...key(1, VARINT), ...varint(height), ...key(2, VARINT), ...varint(width)];
  const picture = [...head, ...key(3, VARINT), ...varint(RGB), ...bytesField(4, bytes)];
  const summary = bytesField(1, [...textField(1, tag), ...bytesField(4, picture)]);
  return record([...wallTime(seconds), ...key(2, VARINT), ...varint(step), ...bytesField(5, summary)]);
}

/** Length of the whole records that a file's first bytes hold. */
export function wholeRecords(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = 0;
  while (end + HEADER <= bytes.length) {
    const next = end + HEADER + Number(view.getBigUint64(end, true)) + 4;
    if (next > bytes.length) break;
    end = next;
  }
  return end;
}

function record(message: readonly number[]): Uint8Array {
  const data = Uint8Array.from(message);
  const bytes = new Uint8Array(HEADER + data.length + 4);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
  bytes.set(data, HEADER);
  view.setUint32(HEADER + data.length, maskedCrc(data), true);
  return bytes;
}

/** Bytes before the message of a record: its length and the checksum of the length. */
const HEADER = 12;

/** Colour space of a picture. */
const RGB = 3;

/** Protobuf wire types. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

function key(field: number, wireType: number): number[] {
  return varint(field * 8 + wireType);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

function bytesField(field: number, bytes: readonly number[] | Uint8Array): number[] {
  return [...key(field, BYTES), ...varint(bytes.length), ...bytes];
}

function textField(field: number, text: string): number[] {
  return bytesField(field, new TextEncoder().encode(text));
}

function wallTime(seconds: number): number[] {
  return [...key(1, FIXED64), ...new Uint8Array(Float64Array.of(seconds).buffer)];
}

/** The format rotates and offsets checksums, so that a checksum of data with checksums in it is sound. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
