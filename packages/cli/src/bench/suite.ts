import { cpus, totalmem } from 'node:os';
import { readDataYaml } from '@mezzo/detect';
import { native } from '@mezzo/libtorch';
import { MezzoError } from '@mezzo/libtorch/errors';
import type { BenchMachine, BenchRow } from './report.ts';

export interface BenchOptions {
  /** Compute threads of the steps. */
  threads: number;
  /** Interpreter of the peers' environment; null leaves their rows out. */
  peerPython: string | null;
  /** Measurements of each side. */
  rounds: number;
  /** A data set, for suites that read images. */
  data: string | null;
  /** A published model, or weights that both sides read. */
  model: string;
  imgsz: number;
  batch: number;
  /** Measure against torch.compile too, which compiles for minutes. */
  compile: boolean;
  note: (text: string) => void;
}

/** A benchmark by name. */
export interface Suite {
  readonly name: string;
  readonly about: string;
  /** Sides in pixels and images a step, unless given. */
  readonly size: { readonly imgsz: number; readonly batch: number };
  run(options: BenchOptions): Promise<BenchRow[]>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function row(
  name: string,
  unit: string,
  sides: { a: string; b: string },
  samples: { a: number[]; b: number[] },
): BenchRow {
  const a = median(samples.a);
  const b = median(samples.b);
  const spread = { a: spreadOf(samples.a), b: spreadOf(samples.b) };
  return { name, a, b, ratio: a / b, unit, spread, sides, samples };
}

/** Distance of the quartiles (Tukey's hinges) as a part of the median; 0 for one sample. */
export function spreadOf(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const half = Math.ceil(sorted.length / 2);
  const distance = median(sorted.slice(-half)) - median(sorted.slice(0, half));
  return distance === 0 ? 0 : distance / median(sorted);
}

/** Measures two sides in turn, A-B-A-B: a machine that slows down or is shared does so for both. */
export async function alternate(
  rounds: number,
  a: () => Promise<number[]> | number[],
  b: () => Promise<number[]> | number[],
): Promise<{ a: number[]; b: number[] }> {
  const samples = { a: [] as number[], b: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    samples.a.push(...(await a()));
    samples.b.push(...(await b()));
  }
  return samples;
}

/**
 * The data set of a suite that reads pictures.
 * @throws {MezzoError} USAGE without one, BAD_DATA for one that cannot be used
 */
export async function requireData(suite: string, { data }: BenchOptions): Promise<string> {
  if (data !== null) return (await readDataYaml(data)).file;
  throw new MezzoError('USAGE', `the suite ${suite} needs a data set`, {
    hint: 'give data=DATA.yaml; mezzo data shapes --out shapes generates a small set',
  });
}

/** Where the measurements are made; `gpu` is the name of the first card, if there is one. */
export function machine(libtorch: string, threads: number): BenchMachine {
  const gpu = native().cudaAvailable() ? native().cudaName(0) : null;
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    node: process.version,
    libtorch,
    threads,
    ...(gpu === null ? {} : { gpu }),
  };
}
