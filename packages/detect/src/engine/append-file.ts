import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { fileSystemError } from './run-folder.ts';

/**
 * A file that only grows, and whose length goes into every checkpoint, so that a resumed run can cut off what was
 * written after it. Writes are synchronous: what was appended survives the death of the process.
 */
export class AppendFile {
  readonly file: string;
  readonly #descriptor: number;
  #position: number;

  /**
   * Opens the file, creating it when it is missing.
   *
   * @param keep bytes of an existing file to keep; the rest is cut off
   * @throws {MezzoError} NO_PERMISSION, DISK_FULL
   */
  constructor(file: string, keep: number) {
    this.file = file;
    try {
      this.#descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o666);
      this.#position = Math.min(keep, fstatSync(this.#descriptor).size);
      ftruncateSync(this.#descriptor, this.#position);
    } catch (error) {
      throw fileSystemError(error, file);
    }
  }

  /** Length of the file in bytes. */
  get position(): number {
    return this.#position;
  }

  /**
   * Appends all of the bytes, or none.
   *
   * @throws {MezzoError} DISK_FULL
   */
  append(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done);
    } catch (error) {
      ftruncateSync(this.#descriptor, this.#position);
      throw fileSystemError(error, this.file);
    }
    this.#position += bytes.length;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
