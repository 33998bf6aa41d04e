import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MezzoError, memory, scope } from '../src/index.ts';

/** Numbers from a seed (mulberry32): the same seed gives the same cases on every machine. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `sides` - 1. */
  roll(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * sides);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)]!;
  }
}

export type Mutation = (bytes: Buffer, dice: Dice) => Buffer;

/** Values at which sizes, counts and places go wrong. */
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** Damage that any kind of file can take. */
export const DAMAGE: Readonly<Record<string, Mutation>> = {
  flippedBits: (bytes, dice) => {
    for (let flips = 1 + dice.roll(8); flips > 0; flips--) {
      const at = dice.roll(bytes.length);
      bytes[at] = bytes[at]! ^ (1 << dice.roll(8));
    }
    return bytes;
  },
  truncated: (bytes, dice) => bytes.subarray(0, dice.roll(bytes.length)),
  extreme: (bytes, dice) => {
    if (bytes.length >= 4) bytes.writeUInt32LE(dice.pick(EXTREMES), dice.roll(bytes.length - 3));
    return bytes;
  },
  moved: (bytes, dice) => {
    const [from, to, length] = [dice.roll(bytes.length), dice.roll(bytes.length), 1 + dice.roll(64)];
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from, from + length), bytes.subarray(to)]);
  },
  cutOut: (bytes, dice) => {
    const at = dice.roll(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.roll(32))]);
  },
};

export interface Campaign {
  readonly cases: number;
  readonly seed: number;
  /** Ending of the file's name. */
  readonly suffix: string;
  /** Makes the file of a case. */
  readonly make: (dice: Dice) => { bytes: Buffer; kind: string };
  /** Reads the file at a path; what it creates in LibTorch is freed after the case. */
  readonly read: (path: string) => void;
  /** Codes with which a reader may refuse. */
  readonly codes: readonly string[];
}

/** How the cases of one kind of damage ended: `read`, or by the code of the error. */
export type Tally = Record<string, Record<string, number>>;

/**
 * Reads damaged files. Every case must end in a good result or one of the codes; nothing may be left behind in memory or
 * in the folder. A failure names the case, so that it can be repeated alone.
 */
export function fuzz({ cases, seed, suffix, make, read, codes }: Campaign): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'mezzo-fuzz-'));
  const path = join(folder, `case${suffix}`);
  const tally: Tally = {};
  memory.collectGarbage();
  try {
    for (let i = 0; i < cases; i++) {
      const { bytes, kind } = make(new Dice(seed * 1_000_003 + i));
      writeFileSync(path, bytes);
      const live = memory.stats().liveTensors;
      const outcome = outcomeOf(() => scope(() => read(path)));
      assert.ok(outcome === 'read' || codes.includes(outcome), `case ${i} (${kind}) ended in ${outcome}`);
      assert.equal(memory.stats().liveTensors, live, `case ${i} (${kind}) left tensors behind`);
      assert.deepEqual(readdirSync(folder), [`case${suffix}`], `case ${i} (${kind}) wrote files`);
      const row = tally[kind] ?? {};
      tally[kind] = { ...row, [outcome]: (row[outcome] ?? 0) + 1 };
      // A new file each time: some file systems flush to disk when a file is written over.
      rmSync(path);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return tally;
}

function outcomeOf(action: () => void): string {
  try {
    action();
    return 'read';
  } catch (error) {
    return error instanceof MezzoError ? error.code : String((error as Error).stack);
  }
}

/** Cases by outcome, over all kinds of damage. */
export function totals(tally: Tally): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const row of Object.values(tally)) {
    for (const [outcome, count] of Object.entries(row)) sum[outcome] = (sum[outcome] ?? 0) + count;
  }
  return sum;
}
