/** A training as one rank of a job: options as JSON in the first argument, what is looked at as JSON on stdout. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { MezzoError, type Tensor } from '@mezzo/torch';
import type { TrainEvent } from '../src/engine/event.ts';
import { openModel } from '../src/engine/model-source.ts';
import type { FollowedRun } from '../src/engine/run.ts';
import { trainDetector } from '../src/engine/train-detector.ts';
import { joinRanks, leaveRanks, type TrainOptions } from '../src/index.ts';

/** What one rank did. */
export interface RankTraining {
  /** Of all parameters in training, and of their averages. */
  parameters?: string;
  /** Pictures by epoch. */
  pictures: string[][];
  /** The whole job's losses after each step. */
  losses: number[][];
  events: string[];
  error?: { code: string; message: string; hint?: string };
}

const { options, rank, size, port, stopAfter } = JSON.parse(process.argv[2]!) as {
  options: TrainOptions;
  rank: number;
  size: number;
  port: number;
  /** Aborts after so many of its steps. */
  stopAfter?: number;
};

const outcome: RankTraining = { pictures: [], losses: [], events: [] };
const controller = new AbortController();
let run: FollowedRun | undefined;

const bytesOf = (tensor: Tensor) =>
  Buffer.from((tensor.detach().toTypedArray() as Float32Array).buffer as ArrayBuffer);

function emit(event: TrainEvent): void {
  if (event.event === 'step') {
    outcome.losses.push(Object.values(event.losses));
    if (outcome.losses.length === stopAfter) controller.abort();
  } else outcome.events.push(event.event === 'message' ? event.text : event.event);
}

try {
  if (size > 1)
    await joinRanks({ rank, size, localRank: rank, localSize: size, host: '127.0.0.1', port }, 60);
  await trainDetector({
    source: await openModel(options.model!),
    options,
    emit,
    signal: controller.signal,
    observers: (begun) => {
      run = begun;
      return [
        {
          name: 'pictures',
          beforeBatch: (batch) => {
            if (batch.index === 0 || outcome.pictures.length === 0) outcome.pictures.push([]);
            outcome.pictures.at(-1)!.push(...batch.paths.map((file) => basename(file)));
          },
        },
      ];
    },
  });
  const hash = createHash('sha256');
  for (const parameter of run!.model.parameters()) hash.update(bytesOf(parameter));
  outcome.parameters = hash.digest('hex');
  if (size > 1) await leaveRanks();
} catch (error) {
  if (!(error instanceof MezzoError)) throw error;
  const { code, message, hint } = error;
  outcome.error = { code, message, ...(hint === undefined ? {} : { hint }) };
}
process.stdout.write(JSON.stringify(outcome), () => process.exit(0));
