import { type AutopsyReport, atLayer, autopsy, type PlanLookup, type RandomStates } from '@mezzo/precision';
import { autocast, type Tensor } from '@mezzo/torch';
import type { Size } from '../augment/geometry.ts';
import type { DeviceName } from '../engine/device.ts';
import { toInput } from '../engine/images.ts';
import type { RunPrecision } from '../engine/precision.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';

/** What trains on a batch. */
export interface AutopsyParts {
  readonly model: DetectionModel;
  readonly loss: Criterion;
  readonly device: DeviceName;
  readonly precision: Pick<RunPrecision, 'dtype' | 'channelsLast'>;
}

/** The batch that was skipped. */
export interface SkippedBatch {
  /** uint8 or float [B, C, H, W]. */
  readonly images: Tensor;
  /** The size that the network saw them in. */
  readonly input?: Size;
  /** Rows of picture, class, centre x, centre y, width, height. */
  readonly targets: Float32Array;
  /** File of each picture. */
  readonly paths: readonly string[];
}

export interface SkipCircumstances {
  /** The loss scale under which the step was skipped: the scaler has lowered it since. */
  readonly scale: number;
  readonly learningRate?: number;
  readonly random?: RandomStates;
  /** The precision plan in force. */
  readonly plan?: PlanLookup;
}

/** Why a skipped batch overflows and what cures it. Leaves the run as it is, to the bit; takes some twenty steps' time. */
export function autopsyOfBatch(
  { model, loss, device, precision }: AutopsyParts,
  { images, input: size, targets, paths }: SkippedBatch,
  circumstances: SkipCircumstances,
): AutopsyReport {
  return autopsy({
    model,
    run: (region) => {
      const dtype = region.dtype as RunPrecision['dtype'];
      const input = toInput(images, device, { ...precision, dtype }, size);
      const maps = autocast(region, () => model.forward(input)) as HeadMaps;
      return atLayer('loss', () => loss.forward(maps, targets).total);
    },
    precision: { device, dtype: precision.dtype },
    inputs: { images: { tensor: images, place: (index) => pixel(paths, index) } },
    ...circumstances,
  });
}

function pixel(paths: readonly string[], [picture, channel, row, column]: readonly number[]): string {
  return `${paths[picture!]}: channel ${channel}, row ${row}, column ${column}`;
}
