import { cpus, totalmem } from 'node:os';

/** One comparison: the median of side `a` against that of side `b`, both measured in turn in one run. */
export interface BenchRow {
  name: string;
  a: number;
  b: number;
  /** a / b. */
  ratio: number;
  unit: string;
  /** All measurements, in the order in which they were taken. */
  samples?: { a: number[]; b: number[] };
  /** What the two sides are, when the name does not say it. */
  sides?: { a: string; b: string };
  /** Where the sides were measured in pairs: below this the ratio lies with 95 % confidence (bootstrap of the pairs). */
  upper?: number;
}

export interface BenchReport {
  suite: string;
  machine: { cpu: string; cores: number; memory: number; node: string; libtorch: string; threads: number };
  date: string;
  rows: BenchRow[];
}

export interface BenchOptions {
  /** Compute threads of the steps. */
  threads: number;
  /** Interpreter of the peers' environment; null leaves their rows out. */
  peerPython: string | null;
  /** Measurements of each side. */
  rounds: number;
  /** A data set, for suites that read images. */
  data: string | null;
  imgsz: number;
  batch: number;
  note: (text: string) => void;
}

/** A benchmark by name. */
export interface Suite {
  readonly name: string;
  readonly about: string;
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
  return { name, a, b, ratio: a / b, unit, sides, samples };
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

export function machine(libtorch: string, threads: number): BenchReport['machine'] {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    node: process.version,
    libtorch,
    threads,
  };
}
