import { readFileSync } from 'node:fs';

/** A JSON file of test/fixtures; the strings "NaN", "Infinity" and "-Infinity" stand for numbers. */
export function fixture<T>(name: string): T {
  const url = new URL(`../../test/fixtures/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8'), (_, value) =>
    value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : value,
  ) as T;
}
