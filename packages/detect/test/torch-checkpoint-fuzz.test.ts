import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { MezzoError, scope } from '@mezzo/torch';
import fc from 'fast-check';
import { modelOf } from '../src/engine/checkpoint.ts';
import { buildModel, readTorchCheckpoint } from '../src/index.ts';
import { type Plain, SavedModule, torchParts, writeTorchParts } from './torch-file.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mezzo-checkpoint-fuzz-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const CODES = ['PT_INVALID', 'PT_UNSAFE', 'PT_UNSUPPORTED', 'PT_LIMIT', 'UNSUPPORTED_WEIGHTS', 'BAD_MODEL'];
const plain = (value: unknown): Plain => {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Plain;
  return new Map(Object.entries(value).map(([key, item]) => [key, plain(item)]));
};

test('500 checkpoints with a damaged pickle end in a typed error or a network', { timeout: 120_000 }, () => {
  const table = {
    ...{ nc: 2, ch: 3, scale: 't', scales: { t: [0.33, 0.0625, 256] }, yaml_file: 'tiny.yaml' },
    backbone: [
      [-1, 1, 'Conv', [64, 3, 2]],
      [-1, 1, 'C2f', [64, true]],
    ],
    head: [[[0, 1], 1, 'Detect', ['nc']]],
  };
  const { yaml_file: _, ...known } = table;
  const { pickle, storages } = scope(() => {
    const state = buildModel(known).stateDict();
    const attributes = { yaml: plain(table), names: plain(['a', 'b']), nc: 2 };
    return torchParts(
      new Map([['model', new SavedModule('ultralytics.nn.tasks.DetectionModel', state, attributes)]]),
    );
  });
  // Numbers and texts of the description stand at the end, behind the tensors.
  const place = fc.oneof(
    fc.nat(pickle.length - 1),
    fc.integer({ min: pickle.length - 700, max: pickle.length - 1 }),
  );
  const change = fc.record({ at: place, byte: fc.integer({ min: 0, max: 255 }) });
  const outcomes: Record<string, number> = {};
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.uuid(), (changes, name) => {
      const damaged = Buffer.from(pickle);
      for (const { at, byte } of changes) damaged[at] = byte;
      const file = writeTorchParts(path.join(folder, `${name}.pt`), damaged, storages);
      const outcome = outcomeOf(() => scope(() => void modelOf(readTorchCheckpoint(file))));
      assert.ok(outcome === 'network' || CODES.includes(outcome), outcome);
      assert.deepEqual(readdirSync(folder), [`${name}.pt`]);
      rmSync(file);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }),
    { numRuns: 500, seed: 1, endOnFailure: true },
  );
  for (const outcome of ['network', 'PT_INVALID', 'UNSUPPORTED_WEIGHTS', 'BAD_MODEL']) {
    assert.ok((outcomes[outcome] ?? 0) > 0, JSON.stringify(outcomes));
  }
});

function outcomeOf(action: () => void): string {
  try {
    action();
    return 'network';
  } catch (error) {
    return error instanceof MezzoError ? error.code : String((error as Error).stack);
  }
}
