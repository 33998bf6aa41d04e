import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataReaders, fuzzReader } from './data-fuzz.ts';
import { scratchFolder } from './scratch.ts';

const CASES = 10_000;
const SEED = 2;
/** A reader that hangs fails here rather than never. */
const timeout = 1_800_000;
const RESULTS = fileURLToPath(new URL('../../../../conformance/readers/', import.meta.url));
const folder = scratchFolder();

for (const [reader, about] of Object.entries(await dataReaders(folder))) {
  test(`${reader}: 10,000 damaged files end in a typed error or a good result`, { timeout }, async () => {
    const tally = await fuzzReader(about, folder, CASES, SEED);
    const outcomes = Object.fromEntries(Object.entries(tally).sort(([a], [b]) => (a < b ? -1 : 1)));
    mkdirSync(RESULTS, { recursive: true });
    const result = { cases: CASES, outcomes, reader, seed: SEED };
    writeFileSync(`${RESULTS}${reader}.json`, `${JSON.stringify(result, null, 2)}\n`);
  });
}
