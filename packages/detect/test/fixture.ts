import { readFileSync } from 'node:fs';

/** Parses a JSON file of `test/fixtures`; the caller names its shape. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), 'utf8')) as T;
}
