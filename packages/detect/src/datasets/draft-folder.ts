/** A folder that is written whole or not at all. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { DataError } from '../data/errors.ts';

/**
 * Lets `write` fill a folder beside `out` and then puts it in place; a failure leaves nothing behind.
 * @throws {DataError} when `out` holds something already or cannot be written
 */
export async function writeFolder<T>(out: string, write: (draft: string) => Promise<T>): Promise<T> {
  if (existsSync(out) && (await readdir(out)).length > 0) {
    throw new DataError(`${out} is not empty`, { hint: 'name a new folder, or empty this one' });
  }
  const draft = `${out}.${process.pid}.tmp`;
  try {
    await mkdir(draft, { recursive: true });
  } catch (error) {
    throw cannotWrite(out, error);
  }
  try {
    const result = await write(draft);
    await rm(out, { recursive: true, force: true });
    await rename(draft, out);
    return result;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw cannotWrite(out, error);
  }
}

/** Errors of the file system as bad input; all others as they are. */
function cannotWrite(out: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || error instanceof DataError) return error;
  return new DataError(`cannot write ${out}: ${message}`, { hint: 'choose another folder', cause: error });
}
