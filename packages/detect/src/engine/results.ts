import { existsSync, readFileSync } from 'node:fs';
import type { GpuSample } from '@mezzo/libtorch';
import { formatGeneral } from '../plots/general-format.ts';
import type { TrainingHistory } from '../plots/results.ts';
import { AppendFile } from './append-file.ts';
import type { EpochEvent } from './event.ts';

const DIGITS = 6;

/** The values of one epoch by column name, in the order of the columns. */
export type ResultsRow = ReadonlyMap<string, number>;

/**
 * The row of an epoch: Ultralytics' columns under Ultralytics' names, then Mezzo's. Without a loss scaler `amp/scale`
 * is 1; `mem/peak_mb` and `gpu/mem_mb` are in units of 10^6 bytes; `gpu/` is only there where nvidia-smi tells.
 *
 * @param time seconds since the start of the run
 */
export function resultsRow(epoch: EpochEvent, time: number): ResultsRow {
  const losses = (split: string, values: Readonly<Record<string, number>>) =>
    Object.entries(values).map(([name, value]) => [`${split}/${name}_loss`, value] as const);
  return new Map([
    ['epoch', epoch.epoch],
    ['time', time],
    ...losses('train', epoch.losses),
    ['metrics/precision(B)', epoch.precision],
    ['metrics/recall(B)', epoch.recall],
    ['metrics/mAP50(B)', epoch.map50],
    ['metrics/mAP50-95(B)', epoch.map],
    ...losses('val', epoch.valLosses),
    ...epoch.lr.map((rate, i) => [`lr/pg${i}`, rate] as const),
    ['amp/scale', epoch.scale ?? 1],
    ['amp/skipped', epoch.skipped],
    ['mem/peak_mb', epoch.peakBytes / 1e6],
    ['time/epoch_s', epoch.seconds],
    ['time/images_per_s', epoch.imagesPerSecond],
    ['time/wait_share', epoch.waitShare],
    ...Object.entries(epoch.phases).map(([name, seconds]) => [`time/${name}_s`, seconds] as const),
    ...(epoch.gpu === undefined ? [] : gpuColumns(epoch.gpu)),
  ]);
}

function gpuColumns({ utilization, memoryUsed }: GpuSample): (readonly [string, number])[] {
  return [
    ['gpu/utilization', utilization ?? Number.NaN],
    ['gpu/mem_mb', (memoryUsed ?? Number.NaN) / 1e6],
  ];
}

/** Writes `results.csv`: a header with the first row, then one row per epoch, numbers as `%.6g`. */
export class ResultsFile {
  readonly #file: AppendFile;
  /** null before the first row. */
  #columns: readonly string[] | null = null;

  /** @param epochs rows of an existing file to keep, those of the epochs up to this one */
  constructor(file: string, epochs = 0) {
    this.#file = new AppendFile(file, epochs === 0 ? 0 : lengthOfEpochs(file, epochs));
    if (this.#file.position > 0) this.#columns = [...readResults(file).columns.keys()];
  }

  /** The columns of the file are those of its first row: what a later one lacks is `nan`, what it has beside them is not kept. */
  append(row: ResultsRow): void {
    const columns = this.#columns ?? [...row.keys()];
    const line = columns.map((name) => formatGeneral(row.get(name) ?? Number.NaN, DIGITS)).join(',');
    const header = this.#columns === null ? `${columns.join(',')}\n` : '';
    this.#file.append(Buffer.from(`${header}${line}\n`));
    this.#columns = columns;
  }

  close(): void {
    this.#file.close();
  }
}

/** The epochs in a `results.csv`; a torn last line, left by a killed process, is passed over. */
export function readResults(file: string): TrainingHistory {
  const [header = '', ...rows] = wholeLines(readFileSync(file, 'utf8'));
  const names = header.split(',').map((name) => name.trim());
  const values = rows.map((row) => row.split(',').map(parseNumber));
  const columns = new Map(names.map((name, k) => [name, values.map((row) => row[k] ?? Number.NaN)]));
  return { epochs: columns.get('epoch') ?? [], columns };
}

/** Length in bytes of the header and the rows up to an epoch. */
function lengthOfEpochs(file: string, epochs: number): number {
  if (!existsSync(file)) return 0;
  const [header, ...rows] = wholeLines(readFileSync(file, 'utf8'));
  if (header === undefined) return 0;
  const kept = rows.filter((row) => Number(row.slice(0, row.indexOf(','))) <= epochs);
  return Buffer.byteLength([header, ...kept].map((line) => `${line}\n`).join(''));
}

function wholeLines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

function parseNumber(text: string): number {
  const word = text.trim();
  const infinite = { inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY }[word];
  return infinite ?? (word === '' ? Number.NaN : Number(word));
}
