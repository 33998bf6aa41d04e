import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Campaign, fuzz, totals } from './reader-fuzz.ts';
import { ptCampaign, safetensorsCampaign } from './weight-files.ts';

const CASES = 10_000;
const SEED = 2;
/** A reader that hangs fails here rather than never. */
const timeout = 1_800_000;
const RESULTS = fileURLToPath(new URL('../../../../conformance/readers/', import.meta.url));

const CAMPAIGNS: Readonly<Record<string, (cases: number, seed: number) => Campaign>> = {
  pt: ptCampaign,
  safetensors: safetensorsCampaign,
};

for (const [reader, campaign] of Object.entries(CAMPAIGNS)) {
  test(`${reader}: 10,000 damaged files end in a typed error or a good result`, { timeout }, () => {
    const damage = fuzz(campaign(CASES, SEED));
    const outcomes = totals(damage);
    assert.equal(
      Object.values(outcomes).reduce((sum, count) => sum + count),
      CASES,
    );
    mkdirSync(RESULTS, { recursive: true });
    const result = { reader, cases: CASES, seed: SEED, outcomes, damage };
    writeFileSync(`${RESULTS}${reader}.json`, `${JSON.stringify(result, sorted, 2)}\n`);
  });
}

/** Keys in order, so that the file changes only when an outcome does. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
