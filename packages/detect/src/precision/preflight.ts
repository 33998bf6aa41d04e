import type { Difference, PassOutput, PrecisionPlan, PreflightSubject } from '@mezzo/precision';
import { cat, noGrad, scope, type Tensor, zeros } from '@mezzo/torch';
import type { DeviceName } from '../engine/device.ts';
import { toInput } from '../engine/images.ts';
import type { RunPrecision } from '../engine/precision.ts';
import type { Criterion, LossResult } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import { detachMaps, type HeadMaps, namedMaps } from '../models/decode.ts';
import { rowsOf } from './synthetic-batch.ts';

/** A batch to check with. */
export interface CheckBatch {
  /** uint8 [B, C, H, W] on the host. */
  readonly images: Tensor;
  /** Rows of picture, class, centre x, centre y, width, height. */
  readonly rows: Float32Array;
  /** Made up, for want of data. */
  readonly synthetic: boolean;
}

/** A detector as it is about to be trained. */
export interface DetectorParts {
  readonly model: DetectionModel;
  readonly loss: Criterion;
  readonly device: DeviceName;
  /** In low precision. */
  readonly precision: RunPrecision;
  /** Layers that train in evaluation mode. */
  readonly frozen: readonly number[];
  /** Islands by hand; none unless given. */
  readonly plan?: PrecisionPlan;
}

/** What passes are compared by, beside loss and gradients. */
export interface DetectorDetail {
  /** [B · A] 1 where the anchor learns a box, null when none does. */
  readonly assigned: Tensor | null;
  /** [B · A, 4] predicted corners in pixels. */
  readonly corners: Tensor;
}

/** Differences of box sides below a pixel, and up to a quarter of the assignments, are no fault of arithmetic. */
const BOX_FLOOR_PX = 1;
const ASSIGNMENT_FLOOR = 0.25;

/** A detector and a batch as the subject of a preflight. */
export function detectorSubject(
  { model, loss, device, precision, frozen }: DetectorParts,
  { images, rows }: CheckBatch,
): PreflightSubject<DetectorDetail> {
  if (precision.dtype === 'float32') throw new TypeError('a run in float32 has no low precision to check');
  return {
    model,
    device,
    low: precision.dtype,
    batch: images.size(0),
    run: ({ batch, dtype, region }): PassOutput<DetectorDetail> =>
      scope(() => {
        model.train();
        for (const layer of frozen) model.model.at(layer).eval();
        const input = toInput(images.narrow(0, 0, batch), device, { ...precision, dtype });
        const maps = region(() => model.forward(input)) as HeadMaps;
        const result = loss.forward(maps, rowsOf(rows, batch));
        return { loss: result.total, outputs: namedMaps(maps), detail: detailOf(model, maps, result) };
      }),
    compare: compareDetails,
  };
}

function detailOf(model: DetectionModel, maps: HeadMaps, { assignment }: LossResult): DetectorDetail {
  return noGrad(() =>
    scope(() => {
      const boxes = model.head.decode(detachMaps(maps)).narrow(1, 0, 4).transpose(1, 2).flatten(0, 1);
      const [centre, size] = boxes.chunk(2, -1) as [Tensor, Tensor];
      const half = size.div(2);
      const corners = cat([centre.sub(half), centre.add(half)], -1);
      if (assignment === null) return { assigned: null, corners };
      const counts = zeros([corners.size(0)], { device: corners.device });
      return { assigned: counts.indexAdd_(0, assignment.anchor, assignment.used).gt(0).float(), corners };
    }),
  );
}

/** HOST SYNC: one. Empty when no anchor learns a box. */
function compareDetails(reference: DetectorDetail, other: DetectorDetail): Record<string, Difference> {
  const { assigned } = reference;
  if (assigned === null) return {};
  const [count, changed, mean, largest] = scope(() =>
    noGrad(() => {
      const changes = other.assigned === null ? assigned : assigned.sub(other.assigned).abs();
      const errors = other.corners.sub(reference.corners).abs().amax(1).mul(assigned);
      const learned = assigned.sum();
      const numbers = [learned, changes.sum(), errors.sum().div(learned), errors.amax()];
      return numbers.map((each) => Number(each.item()));
    }),
  ) as [number, number, number, number];
  if (count === 0) return {};
  const anchors = `${count} assigned anchor${count === 1 ? '' : 's'}`;
  return {
    boxErrorPx: {
      value: mean,
      floor: BOX_FLOOR_PX,
      text: `boxes are ${mean.toFixed(2)} px off at ${anchors}`,
    },
    boxErrorPxLargest: {
      value: largest,
      floor: Number.POSITIVE_INFINITY,
      text: `one box is ${largest.toFixed(2)} px off`,
    },
    assignmentChanges: {
      value: changed / count,
      floor: ASSIGNMENT_FLOOR,
      text: `${changed} assignments differ, of ${anchors},`,
    },
  };
}
