import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataReaders, fuzzReader } from './data-fuzz.ts';
import { scratchFolder, write } from './scratch.ts';

const CASES = 500;
/** A reader that hangs fails here rather than never. */
const timeout = 120_000;
const folder = scratchFolder();

for (const [name, reader] of Object.entries(await dataReaders(folder))) {
  test(`${name}: 500 damaged files end in a typed error or a good result`, { timeout }, async () => {
    for (const example of reader.examples.slice(0, 1)) {
      assert.equal(await reader.read(write(folder, `whole${reader.suffix}`, example), example), 'read');
    }
    const tally = await fuzzReader(reader, folder, CASES, 1);
    const { read = 0, ...others } = tally;
    const refused = Object.values(others).reduce((sum, count) => sum + count, 0);
    assert.equal(read + refused, CASES);
    assert.ok(read > 0 && refused > CASES / 10, JSON.stringify(tally));
  });
}
