import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { noGrad, scope, type Tensor, tensor } from '@mezzo/torch';
import { buildModel, type DetectionModel } from '../src/models/build.ts';
import { formulaInput, formulaWeights } from './formula.ts';

/** Float64 statistics of all elements, as the reference files state them. */
export interface Summary {
  shape: number[];
  mean: number;
  std: number;
  absmax: number;
  first: number[];
}

export interface Checksum {
  sum: number;
  l1: number;
  l2: number;
  first: number[];
}

export const fixturePath = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));

const NON_FINITE: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
};

/** Reference JSON; it spells non-finite numbers as strings. */
export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(fixturePath(name), 'utf8'), (_key, value: unknown) =>
    typeof value === 'string' && value in NON_FINITE ? NON_FINITE[value] : value,
  ) as T;
}

/** All elements, row-major, as numbers. */
export function values(of: Tensor): Float64Array {
  return Float64Array.from(of.toTypedArray() as Iterable<number | bigint>, Number);
}

export function summaryOf(of: Tensor): Summary {
  const all = values(of);
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
  const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length;
  const absmax = all.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  return { shape: of.shape, mean, std: Math.sqrt(variance), absmax, first: Array.from(all.subarray(0, 8)) };
}

export function checksumOf(of: Tensor): Checksum {
  const all = values(of);
  return {
    sum: all.reduce((sum, x) => sum + x, 0),
    l1: all.reduce((sum, x) => sum + Math.abs(x), 0),
    l2: Math.sqrt(all.reduce((sum, x) => sum + x * x, 0)),
    first: Array.from(all.subarray(0, 4)),
  };
}

export interface Tolerance {
  abs?: number;
  rel?: number;
}

export function assertClose(
  actual: number,
  expected: number,
  { abs = 0, rel = 0 }: Tolerance,
  what: string,
): void {
  if (Object.is(actual, expected) || actual === expected) return;
  const error = Math.abs(actual - expected);
  const allowed = abs + rel * Math.abs(expected);
  assert.ok(error <= allowed, `${what}: ${actual} is ${error} from ${expected}, allowed ${allowed}`);
}

export function assertAllClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  what: string,
): void {
  assert.equal(actual.length, expected.length, `${what}: number of elements`);
  for (let i = 0; i < expected.length; i++) assertClose(actual[i]!, expected[i]!, tolerance, `${what}[${i}]`);
}

export function assertSummary(actual: Tensor, expected: Summary, tolerance: Tolerance, what: string): void {
  const found = summaryOf(actual);
  assert.deepEqual(found.shape, expected.shape, `${what}: shape`);
  for (const part of ['mean', 'std', 'absmax'] as const) {
    assertClose(found[part], expected[part], tolerance, `${what} ${part}`);
  }
  assertAllClose(found.first, expected.first, tolerance, `${what} first`);
}

/** Distances of sum, l1 norm, l2 norm and first values relative to the tensor's own size. */
export function assertChecksum(actual: Tensor, expected: Checksum, rel: number, what: string): void {
  const found = checksumOf(actual);
  const typical = expected.l2 / Math.sqrt(actual.numel());
  assertClose(found.l2, expected.l2, { rel }, `${what} l2`);
  assertClose(found.sum, expected.sum, { abs: rel * expected.l1 }, `${what} sum`);
  found.first.forEach((x, i) => {
    const abs = rel * Math.max(Math.abs(expected.first[i]!), typical);
    assertClose(x, expected.first[i]!, { abs }, `${what} first[${i}]`);
  });
}

/** Gives every tensor of the model's state its formula value. */
export function setFormulaWeights(model: DetectionModel, gain: number): void {
  scope(() =>
    noGrad(() => {
      for (const [key, target] of Object.entries(model.stateDict())) {
        target.copy_(tensor(formulaWeights(key, target.shape, gain)).view(target.shape));
      }
    }),
  );
}

export function formulaModel(
  source: string | object,
  options: { nc: number; ch?: number; gain: number },
): DetectionModel {
  const model = buildModel(source, { nc: options.nc, ch: options.ch });
  setFormulaWeights(model, options.gain);
  return model;
}

export function inputTensor(key: string, shape: readonly number[]): Tensor {
  return tensor(formulaInput(key, shape)).view(shape);
}
