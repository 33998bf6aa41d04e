import { noGrad, scope, type Tensor } from '@mezzo/torch';
import type { DetectionModel } from './build.ts';

export interface TransferOptions {
  /**
   * When the image channels differ, copy the channels that both first convolutions have (recipe 8.4); otherwise
   * that weight is skipped like any other of another shape (recipe 8.3). Default false.
   */
  overlapFirstConv?: boolean;
}

export interface SkippedWeight {
  readonly key: string;
  /** Shape in the model. */
  readonly shape: readonly number[];
  /** Shape in the given weights, null when they have no such key. */
  readonly given: readonly number[] | null;
}

export interface TransferReport {
  /** Tensors copied, of `total` tensors of the model's state. */
  readonly transferred: number;
  readonly total: number;
  readonly skipped: readonly SkippedWeight[];
}

const FIRST_CONV = 'model.0.conv.weight';

/** Copies every tensor whose name and shape match into the model, and reports what was left as it is. */
export function transferWeights(
  model: DetectionModel,
  weights: Readonly<Record<string, Tensor>>,
  options: TransferOptions = {},
): TransferReport {
  const state = Object.entries(model.stateDict());
  const skipped: SkippedWeight[] = [];
  scope(() =>
    noGrad(() => {
      for (const [key, target] of state) {
        const source = weights[key];
        const shape = target.shape;
        const given = source?.shape ?? null;
        if (source !== undefined && sameShape(shape, given!)) {
          target.copy_(source);
        } else if (
          source !== undefined &&
          options.overlapFirstConv &&
          key === FIRST_CONV &&
          overlaps(shape, given!)
        ) {
          const channels = Math.min(shape[1]!, given![1]!);
          target.narrow(1, 0, channels).copy_(source.narrow(1, 0, channels));
        } else {
          skipped.push({ key, shape, given });
        }
      }
    }),
  );
  return { transferred: state.length - skipped.length, total: state.length, skipped };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** Two convolutions that differ in the number of input channels only. */
function overlaps(a: readonly number[], b: readonly number[]): boolean {
  return a.length === 4 && b.length === 4 && [0, 2, 3].every((dim) => a[dim] === b[dim]);
}
