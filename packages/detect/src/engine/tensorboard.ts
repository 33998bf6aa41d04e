import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { AppendFile } from './append-file.ts';
import { crc32c } from './crc32c.ts';

/** How far a TensorBoard file was written; belongs into a checkpoint. */
export interface TensorBoardPosition {
  /** Name of the file in its folder. */
  readonly file: string;
  readonly bytes: number;
}

/**
 * Writes scalars and pictures as a TensorBoard event file: records of length, masked CRC-32C, an `Event` message of
 * tensorflow/core/util/event.proto, masked CRC-32C.
 */
export class TensorBoardLog {
  readonly #file: AppendFile;

  /**
   * Starts a file of its own in the folder, or continues one.
   *
   * @param from where to continue; what was written after it is cut off
   */
  constructor(folder: string, from?: TensorBoardPosition) {
    const seconds = Date.now() / 1000;
    const name = from?.file ?? `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}.0`;
    const file = path.join(folder, name);
    this.#file = new AppendFile(file, from === undefined ? 0 : wholeRecords(file, from.bytes));
    if (this.#file.position === 0) this.#append([...wallTime(seconds), ...textField(3, 'brain.Event:2')]);
  }

  get position(): TensorBoardPosition {
    return { file: path.basename(this.#file.file), bytes: this.#file.position };
  }

  /**
   * Adds one point to the curve of every tag.
   *
   * @param step position along x; a whole number from 0
   * @param seconds time of the point since 1970
   */
  scalars(
    step: number,
    values: Iterable<readonly [tag: string, value: number]>,
    seconds = Date.now() / 1000,
  ): void {
    const summary: number[] = [];
    for (const [tag, value] of values) {
      const point = [
        ...textField(1, tag),
        ...key(2, FIXED32),
        ...new Uint8Array(Float32Array.of(value).buffer),
      ];
      summary.push(...bytesField(1, point));
    }
    this.#append([...wallTime(seconds), ...key(2, VARINT), ...varint(step), ...bytesField(5, summary)]);
  }

  /** Adds a picture: an encoded PNG or JPEG file of so many pixels. */
  image(
    step: number,
    tag: string,
    { bytes, width, height }: { bytes: Uint8Array; width: number; height: number },
    seconds = Date.now() / 1000,
  ): void {
    const head = [...key(1, VARINT), ...varint(height), ...key(2, VARINT), ...varint(width)];
    const picture = [...head, ...key(3, VARINT), ...varint(RGB), ...bytesField(4, bytes)];
    const summary = bytesField(1, [...textField(1, tag), ...bytesField(4, picture)]);
    this.#append([...wallTime(seconds), ...key(2, VARINT), ...varint(step), ...bytesField(5, summary)]);
  }

  close(): void {
    this.#file.close();
  }

  #append(message: readonly number[]): void {
    const data = Uint8Array.from(message);
    const record = new Uint8Array(HEADER + data.length + 4);
    const view = new DataView(record.buffer);
    view.setBigUint64(0, BigInt(data.length), true);
    view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
    record.set(data, HEADER);
    view.setUint32(HEADER + data.length, maskedCrc(data), true);
    this.#file.append(record);
  }
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

/** Length of the whole records among the first `keep` bytes. */
function wholeRecords(file: string, keep: number): number {
  if (!existsSync(file)) return 0;
  const bytes = readFileSync(file).subarray(0, keep);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = 0;
  while (end + HEADER <= bytes.length) {
    const next = end + HEADER + Number(view.getBigUint64(end, true)) + 4;
    if (next > bytes.length) break;
    end = next;
  }
  return end;
}
