import { availableMemory } from '@mezzo/libtorch';
import { isOutOfMemory as isOfLibTorch } from '@mezzo/precision';
import { cuda, MezzoError, memory } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import { type DeviceName, deviceType } from './device.ts';
import { roomForTensors } from './memory-limit.ts';
import { readableSize } from './memory-size.ts';
import type { RunPrecision } from './precision.ts';
import { nominalAccumulate } from './schedule.ts';

/** Memory ran out after the first epoch, or nothing that makes a run smaller was left to try. Exit code 1. */
export class OutOfMemoryError extends MezzoError {
  /** From which `resume=` goes on; null when the run has none yet. */
  readonly checkpoint: string | null;
  readonly remedies: readonly string[];

  constructor(where: string, cause: Error, checkpoint: string | null, remedies: readonly string[]) {
    const way =
      checkpoint === null
        ? 'there is no checkpoint to go on from yet; with one of these it takes less:'
        : `go on with: mezzo train resume=${checkpoint}, and one of these, so that it takes less:`;
    super('OUT_OF_MEMORY', `out of memory ${where}: ${cause.message}`, {
      hint: [way, ...remedies].join('\n  '),
      cause,
    });
    this.name = 'OutOfMemoryError';
    this.checkpoint = checkpoint;
    this.remedies = remedies;
  }
}

/** Did memory run out: LibTorch's, on the host or a GPU, or JavaScript's? */
export const isOutOfMemory = (error: unknown): error is Error =>
  isOfLibTorch(error) ||
  (error instanceof RangeError && /array buffer allocation failed/i.test(error.message)) ||
  (error instanceof MezzoError && SCRATCH.test(error.message) && availableMemory() < SCARCE);

/** All that oneDNN says when its scratch space is refused; it may have other reasons where memory is plenty. */
const SCRATCH = /^could not create a (primitive|memory)/;
const SCARCE = 256 * 2 ** 20;

/** Was it the host's memory that ran out? */
export const ranOutOnHost = (error: Error, device: DeviceName): boolean =>
  device === 'cpu' || !/\bCUDA\b/.test(error.message);

type Sizes = Pick<TrainSettings, 'batch' | 'nbs' | 'workers' | 'cache'> &
  Partial<Pick<TrainSettings, 'accumulate'>>;

export interface Reduction {
  readonly changes: Partial<Pick<TrainSettings, 'accumulate' | 'batch' | 'workers' | 'cache'>>;
  readonly halved: boolean;
  /** `batch 16 → 8, …`. */
  readonly text: string;
}

/**
 * What makes a run take less memory: on the host first fewer pictures in preparation and none kept, which change
 * nothing in the training or only the partners of mosaics; then half the batch, with twice as many of them added up,
 * so that an optimizer step still sees `nbs` pictures. null when nothing is left.
 */
export function reduce(
  settings: Sizes,
  { onHost, mayHalve }: { onHost: boolean; mayHalve: boolean },
): Reduction | null {
  const { batch, nbs, accumulate = null, workers, cache } = settings;
  const caches = cache === true || cache === 'ram';
  if (onHost && (caches || workers > 1)) {
    const fewer = Math.min(workers, 1);
    const text = [
      ...(workers === fewer ? [] : [`workers ${workers} → ${fewer}`]),
      ...(caches ? [`cache ${String(cache)} → false`] : []),
    ].join(', ');
    return { changes: { workers: fewer, ...(caches ? { cache: false } : {}) }, halved: false, text };
  }
  if (!mayHalve || batch < 2) return null;
  const half = Math.floor(batch / 2);
  const before = nominalAccumulate(batch, nbs, accumulate);
  const asked = accumulate === null ? {} : { accumulate: Math.round((batch * accumulate) / half) };
  const after = nominalAccumulate(half, nbs, asked.accumulate);
  const sum = `gradients of ${after} batches are added up instead of ${before} (an optimizer step sees ${half * after} pictures, before ${batch * before})`;
  return { changes: { batch: half, ...asked }, halved: true, text: `batch ${batch} → ${half}, ${sum}` };
}

export interface MemorySituation {
  readonly settings: Pick<TrainSettings, 'batch' | 'imgsz' | 'workers' | 'cache'>;
  readonly device: DeviceName;
  readonly precision: Pick<RunPrecision, 'enabled'>;
  /** Bytes that stay from step to step, and all there are. */
  readonly kept: number;
  readonly room: number;
  /** Training images. */
  readonly images: number;
  readonly channels: number;
}

/** Measured with YOLOv8n in bf16 against float32: peak of a step. */
const LOW_PRECISION_PART = 0.58;
const STRIDE = 32;
const SHOWN = 3;

interface Remedy {
  readonly applies: (at: MemorySituation) => boolean;
  readonly text: (at: MemorySituation) => string;
}

/** A step whose activations take a part of what they took. */
const withPart = ({ kept, room }: MemorySituation, part: number): string =>
  `about ${readableSize(kept + part * (room - kept))} instead of more than ${readableSize(room)}`;

/** Do activations take enough that fewer pixels make a difference? */
const picturesWeigh = ({ kept, room }: MemorySituation): boolean => room - kept > 0.05 * room;

const smallerSize = (imgsz: number): number => Math.max(STRIDE, Math.floor((0.75 * imgsz) / STRIDE) * STRIDE);

/** In the order in which they cost least. */
const REMEDIES: readonly Remedy[] = [
  {
    applies: ({ settings }) => settings.cache === true || settings.cache === 'ram',
    text: ({ settings, images }) =>
      `cache=false: the ${images} images kept in memory take up to ${readableSize(images * settings.imgsz ** 2 * 3)}`,
  },
  {
    applies: (at) => at.settings.batch > 1 && picturesWeigh(at),
    text: (at) =>
      `batch=${Math.floor(at.settings.batch / 2)}: ${withPart(at, Math.floor(at.settings.batch / 2) / at.settings.batch)}`,
  },
  {
    applies: (at) => smallerSize(at.settings.imgsz) < at.settings.imgsz && picturesWeigh(at),
    text: (at) => {
      const size = smallerSize(at.settings.imgsz);
      return `imgsz=${size}: ${withPart(at, (size / at.settings.imgsz) ** 2)}`;
    },
  },
  {
    applies: ({ precision }) => !precision.enabled,
    text: (at) =>
      `a new run from its weights with amp=${at.device === 'cpu' ? 'bf16' : 'fp16'}: about ` +
      `${readableSize(LOW_PRECISION_PART * at.room)} instead of more than ${readableSize(at.room)}`,
  },
  {
    applies: () => true,
    text: ({ device, room }) =>
      device === 'cpu'
        ? `end other programs, or raise the limit of the container: this run may take ${readableSize(room)}`
        : `end other programs on ${device}, which has ${readableSize(room)} for this run`,
  },
  {
    applies: () => true,
    text: ({ kept }) =>
      `a smaller model: ${readableSize(kept)} stay from step to step, which weights, average and optimizer make up`,
  },
  {
    applies: ({ settings }) => settings.workers > 0,
    text: ({ settings, channels }) =>
      `workers=0: no batches ahead of the step, ${readableSize(2 * settings.batch * settings.imgsz ** 2 * channels)} less`,
  },
];

/** Three things that make a run smaller, each with its numbers. */
export const remediesFor = (at: MemorySituation): string[] =>
  REMEDIES.filter(({ applies }) => applies(at))
    .slice(0, SHOWN)
    .map(({ text }) => text(at));

/** Bytes in live tensors now, and the most there may be. */
export function memoryOf(device: DeviceName): { kept: number; room: number } {
  if (deviceType(device) === 'cpu') return { kept: memory.stats().liveBytes, room: roomForTensors() };
  const [free] = cuda.memGetInfo(device);
  return { kept: cuda.memoryAllocated(device), room: free + cuda.memoryReserved(device) };
}
