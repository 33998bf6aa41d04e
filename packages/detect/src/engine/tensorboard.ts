import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { tensorboard } from '@mezzo/torch';
import { AppendFile } from './append-file.ts';

/** How far a TensorBoard file was written; belongs into a checkpoint. */
export interface TensorBoardPosition {
  /** Name of the file in its folder. */
  readonly file: string;
  readonly bytes: number;
}

/** Writes scalars and pictures as a TensorBoard event file. */
export class TensorBoardLog {
  readonly #file: AppendFile;

  /**
   * Starts a file of its own in the folder, or continues one.
   *
   * @param from where to continue; what was written after it is cut off
   */
  constructor(folder: string, from?: TensorBoardPosition) {
    const seconds = Date.now() / 1000;
    const file = path.join(folder, from?.file ?? tensorboard.eventFileName(seconds));
    this.#file = new AppendFile(file, from === undefined ? 0 : wholeRecords(file, from.bytes));
    if (this.#file.position === 0) this.#file.append(tensorboard.fileVersion(seconds));
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
    this.#file.append(tensorboard.scalarsRecord(step, values, seconds));
  }

  /** Adds a picture: an encoded PNG or JPEG file of so many pixels. */
  image(
    step: number,
    tag: string,
    picture: { bytes: Uint8Array; width: number; height: number },
    seconds = Date.now() / 1000,
  ): void {
    this.#file.append(tensorboard.imageRecord(step, tag, picture, seconds));
  }

  close(): void {
    this.#file.close();
  }
}

/** Length of the whole records among the first `keep` bytes. */
const wholeRecords = (file: string, keep: number): number =>
  existsSync(file) ? tensorboard.wholeRecords(readFileSync(file).subarray(0, keep)) : 0;
