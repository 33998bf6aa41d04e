import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scope } from '../src/index.ts';
import { fuzz, totals } from './reader-fuzz.ts';
import { ptCampaign, readUndamaged, safetensorsCampaign } from './weight-files.ts';

const CASES = 500;
/** A reader that hangs fails here rather than never. */
const timeout = 120_000;

test('.pt: 500 damaged files end in a typed error or a good result', { timeout }, () => {
  assert.equal(scope(readUndamaged), 43);
  const outcomes = totals(fuzz(ptCampaign(CASES, 1)));
  for (const outcome of ['read', 'PT_INVALID', 'PT_UNSAFE', 'PT_UNSUPPORTED']) {
    assert.ok((outcomes[outcome] ?? 0) > 0, `${outcome}: ${JSON.stringify(outcomes)}`);
  }
});

test('safetensors: 500 damaged files end in a typed error or a good result', { timeout }, () => {
  const outcomes = totals(fuzz(safetensorsCampaign(CASES, 1)));
  assert.ok(outcomes.read! > 0 && outcomes.SAFETENSORS_INVALID! > CASES / 2, JSON.stringify(outcomes));
});
