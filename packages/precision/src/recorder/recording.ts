import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { MezzoError } from '@mezzo/torch';
import { BINS } from './exponents.ts';

/** What is histogrammed of a layer. */
export const KINDS = ['weights', 'activations', 'gradients'] as const;
export type Kind = (typeof KINDS)[number];

/** One moment of a run. */
export interface Sample {
  /** Samples taken before it, from 0. */
  readonly index: number;
  /** Optimizer step of the run, from 1. */
  readonly window: number;
  /** Loss scale, null without a scaler. */
  readonly scale: number | null;
  /** Was the step left out? */
  readonly skipped: boolean;
  /** Packed histograms: layers × kinds × bins. */
  readonly bins: Uint8Array;
}

/** What a recording is on disk and in a checkpoint. */
export interface RecordingFile {
  format: 'mezzo-recorder';
  version: 1;
  /** The low-precision format whose limits matter. */
  dtype: string;
  layers: string[];
  /** The part of the model that each layer belongs to, where the parts have names. */
  parts?: (string | null)[];
  samples: Omit<Sample, 'bins'>[];
  /** Of the samples before the latest, one in so many was kept. */
  stride: number;
  /** The samples' histograms one after the other, deflated, as base64. */
  bins: string;
}

/** The last samples that are never thinned out. */
const LATEST = 24;

/**
 * Samples of a run, at most `capacity`. The latest 24 are all there; of those before, one in 1, 2, 4, … so that they
 * are spread evenly over the whole run.
 */
export class Recording {
  readonly dtype: string;
  readonly layers: readonly string[];
  /** Of each layer the part of the model that it belongs to, such as the stream of a sensor; null: none. */
  readonly parts: readonly (string | null)[];
  readonly samples: Sample[] = [];
  private readonly capacity: number;
  private stride = 1;

  /** @param capacity samples kept, more than 24 */
  constructor(
    dtype: string,
    layers: readonly string[],
    capacity = 96,
    parts: readonly (string | null)[] = layers.map(() => null),
  ) {
    this.dtype = dtype;
    this.layers = layers;
    this.parts = parts;
    this.capacity = capacity;
  }

  get bytesPerSample(): number {
    return this.layers.length * KINDS.length * BINS;
  }

  add(sample: Omit<Sample, 'index'>): void {
    const index = (this.samples.at(-1)?.index ?? -1) + 1;
    this.samples.push({ ...sample, index });
    this.thin(index);
    while (this.samples.length > this.capacity) {
      this.stride *= 2;
      this.thin(index);
    }
  }

  /** The packed histogram of one layer in one sample. */
  histogram(sample: Sample, layer: number, kind: Kind): Uint8Array {
    const at = (layer * KINDS.length + KINDS.indexOf(kind)) * BINS;
    return sample.bins.subarray(at, at + BINS);
  }

  toJSON(): RecordingFile {
    const all = new Uint8Array(this.samples.length * this.bytesPerSample);
    for (const [i, { bins }] of this.samples.entries()) all.set(bins, i * this.bytesPerSample);
    return {
      format: 'mezzo-recorder',
      version: 1,
      dtype: this.dtype,
      layers: [...this.layers],
      ...(this.parts.some((part) => part !== null) ? { parts: [...this.parts] } : {}),
      samples: this.samples.map(({ bins: _, ...sample }) => sample),
      stride: this.stride,
      bins: deflateRawSync(all).toString('base64'),
    };
  }

  /** @throws MezzoError BAD_RECORDING when `value` is no recording, or a damaged one; `source` names it */
  static from(value: unknown, source: string, capacity?: number): Recording {
    const file = checked(value, source);
    const recording = new Recording(file.dtype, file.layers, capacity, file.parts);
    recording.stride = file.stride;
    let all: Uint8Array;
    try {
      all = inflateRawSync(Buffer.from(file.bins, 'base64'));
    } catch (cause) {
      throw new MezzoError('BAD_RECORDING', `${source}: the histograms are damaged`, { cause });
    }
    const size = recording.bytesPerSample;
    if (all.length !== size * file.samples.length) {
      throw new MezzoError(
        'BAD_RECORDING',
        `${source}: ${all.length} bytes of histograms, but ${file.samples.length} samples need ${size * file.samples.length}`,
      );
    }
    for (const [i, sample] of file.samples.entries()) {
      recording.samples.push({ ...sample, bins: all.slice(i * size, (i + 1) * size) });
    }
    return recording;
  }

  private thin(newest: number): void {
    const kept = this.samples.filter(({ index }) => index > newest - LATEST || index % this.stride === 0);
    this.samples.splice(0, this.samples.length, ...kept);
  }
}

function checked(value: unknown, source: string): RecordingFile {
  const file = value as RecordingFile | null;
  if (typeof file !== 'object' || file?.format !== 'mezzo-recorder') {
    throw new MezzoError('BAD_RECORDING', `${source} is no recording of the flight recorder`, {
      hint: 'mezzo train recorder=FILE writes one',
    });
  }
  if (file.version !== 1) {
    throw new MezzoError('BAD_RECORDING', `${source}: version ${file.version} is newer than this Mezzo`);
  }
  const whole =
    Array.isArray(file.layers) &&
    (file.parts === undefined || file.parts.length === file.layers.length) &&
    Array.isArray(file.samples) &&
    typeof file.bins === 'string' &&
    Number.isInteger(file.stride) &&
    typeof file.dtype === 'string';
  if (!whole) throw new MezzoError('BAD_RECORDING', `${source}: layers, samples or histograms are missing`);
  return file;
}
