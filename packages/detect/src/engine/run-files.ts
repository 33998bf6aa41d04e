import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { formatSettings, type TrainSettings } from '../config/index.ts';
import type { EpochEvent, LoggedEvent, StepEvent } from './event.ts';
import { EventLog } from './events.ts';
import { ResultsFile, resultsRow } from './results.ts';
import { fileSystemError } from './run-folder.ts';
import { TensorBoardLog, type TensorBoardPosition } from './tensorboard.ts';

/** Lengths of the growing files at a checkpoint, to which a resumed run cuts them back. */
export interface FilePositions {
  /** Rows of results.csv: the epochs done. */
  epochs: number;
  events: number;
  tensorboard: TensorBoardPosition;
}

/** Milliseconds between steps, and everything of a step that events.jsonl keeps. */
export interface StepRecord extends Omit<StepEvent, 'epochs' | 'steps' | 'phases'> {
  readonly lr: readonly number[];
  readonly ms: number;
}

/** What a training writes to; a rank that writes nothing has one that does nothing. */
export type RunRecord = Pick<
  RunFiles,
  'best' | 'close' | 'epoch' | 'last' | 'log' | 'pictures' | 'positions' | 'weights'
>;

/** The text files of a run folder that grow as it trains, and the paths of its weights. */
export class RunFiles {
  readonly folder: string;
  readonly weights: string;
  private readonly results: ResultsFile;
  private readonly events: EventLog;
  private readonly tensorboard: TensorBoardLog;
  private epochs: number;

  /** @throws {MezzoError} NO_PERMISSION, DISK_FULL */
  constructor(folder: string, settings: TrainSettings, from?: FilePositions) {
    this.folder = folder;
    this.weights = path.join(folder, 'weights');
    this.epochs = from?.epochs ?? 0;
    try {
      mkdirSync(this.weights, { recursive: true });
      writeFileSync(path.join(folder, 'args.yaml'), formatSettings('train', { ...settings }));
    } catch (error) {
      throw fileSystemError(error, folder);
    }
    this.results = new ResultsFile(path.join(folder, 'results.csv'), this.epochs);
    this.events = new EventLog(path.join(folder, 'events.jsonl'), from?.events ?? 0);
    this.tensorboard = new TensorBoardLog(folder, from?.tensorboard);
  }

  get best(): string {
    return path.join(this.weights, 'best.safetensors');
  }

  get last(): string {
    return path.join(this.weights, 'last.safetensors');
  }

  log(event: StepRecord | LoggedEvent): void {
    this.events.append(event);
  }

  /** @param time seconds since the run began */
  epoch(event: EpochEvent, time: number): void {
    const row = resultsRow(event, time);
    this.results.append(row);
    this.events.append(event);
    this.tensorboard.scalars(
      event.epoch,
      [...row].filter(([name]) => name !== 'epoch' && name !== 'time'),
    );
    this.epochs = event.epoch;
  }

  /** Puts pictures of the folder, by name, into the TensorBoard file; those that are not there are left out. */
  async pictures(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const file = path.join(this.folder, name);
      if (!existsSync(file)) continue;
      const bytes = await readFile(file);
      const { width, height } = await sharp(bytes).metadata();
      this.tensorboard.image(this.epochs, `pictures/${path.parse(name).name}`, { bytes, width, height });
    }
  }

  positions(): FilePositions {
    return { epochs: this.epochs, events: this.events.position, tensorboard: this.tensorboard.position };
  }

  close(): void {
    this.results.close();
    this.events.close();
    this.tensorboard.close();
  }
}

/** The record of a rank that leaves writing to another. */
export function unwritten(folder: string): RunRecord {
  const weights = path.join(folder, 'weights');
  return {
    weights,
    best: path.join(weights, 'best.safetensors'),
    last: path.join(weights, 'last.safetensors'),
    log: () => undefined,
    epoch: () => undefined,
    pictures: async () => undefined,
    positions: () => ({ epochs: 0, events: 0, tensorboard: { file: '', bytes: 0 } }),
    close: () => undefined,
  };
}
