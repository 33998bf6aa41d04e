import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fnv1a32, formulaInput, formulaWeights, hash32, signedUnit, unit } from './formula.ts';
import { assertClose, readGolden } from './golden.ts';

interface HashGolden {
  fnv1a32: Record<string, number>;
  hash32: { key: string; index: number; hash: number; u: number; u01: number }[];
  tensors: {
    key: string;
    shape: number[];
    gain: number;
    first: number[];
    bits_hex: string[] | null;
    sum_fp64: number;
  }[];
  input: { key: string; shape: number[]; first: number[]; sum_fp64: number };
}

const golden = readGolden<HashGolden>('hash.json');

test('the formula: key hashes', () => {
  for (const [key, hash] of Object.entries(golden.fnv1a32)) assert.equal(fnv1a32(key), hash, key);
});

test('the formula: element hashes and their uniform numbers', () => {
  for (const { key, index, hash, u, u01 } of golden.hash32) {
    assert.equal(hash32(key, index), hash, `${key} ${index}`);
    assert.equal(signedUnit(hash), u);
    assert.equal(unit(hash), u01);
  }
});

test('the formula: tensors, to the bit', () => {
  for (const { key, shape, gain, first, bits_hex, sum_fp64 } of golden.tensors) {
    const values = formulaWeights(key, shape, gain);
    assert.deepEqual(Array.from(values.subarray(0, first.length)), first, key);
    if (bits_hex !== null) assert.deepEqual(hexWords(values.subarray(0, bits_hex.length)), bits_hex, key);
    assertClose(sum(values), sum_fp64, { rel: 1e-12 }, key);
  }
});

test('the formula: images', () => {
  const { key, shape, first, sum_fp64 } = golden.input;
  const values = formulaInput(key, shape);
  assert.deepEqual(Array.from(values.subarray(0, first.length)), first);
  assertClose(sum(values), sum_fp64, { rel: 1e-12 }, key);
});

function sum(values: Float32Array): number {
  return values.reduce((total, x) => total + x, 0);
}

function hexWords(values: Float32Array): string[] {
  return Array.from(new Uint32Array(values.slice().buffer), (word) => word.toString(16).padStart(8, '0'));
}
