import { noGrad, scope, stack, type Tensor, zeros } from '@mezzo/torch';
import { type Assignment, TaskAlignedAssigner } from '../assign/task-aligned.ts';
import { type AnchorGrid, anchorGrid, levelsOf } from '../models/anchors.ts';
import {
  bbox2dist,
  dist2bbox,
  distanceBins,
  expectedDistance,
  type HeadMaps,
  joinLevels,
  sidesOf,
} from '../models/decode.ts';
import { withoutAutocast } from '../models/precision.ts';
import { upload } from '../models/upload.ts';
import type { Criterion, LossResult, SharedBatch } from './criterion.ts';
import { distributionFocalLoss } from './dfl.ts';
import { pairwiseIou } from './iou.ts';
import { pixelTargets } from './targets.ts';

// Shapes: B batch, A anchors, C classes, R bins, N targets of the batch, S slots of the assignment.

export interface LossGains {
  box: number;
  cls: number;
  dfl: number;
}

export interface DetectionLossOptions {
  nc: number;
  /** Pixels per cell of each level. */
  strides: readonly number[];
  regMax?: number;
  /** Defaults 7.5, 0.5, 1.5. */
  gains?: LossGains;
  assigner?: TaskAlignedAssigner;
  /** How much each class counts in the class loss; null: all alike. */
  classWeights?: readonly number[] | null;
}

export interface DetectionLossResult extends LossResult {
  /** Anchors that learned a box, null when no target held an anchor centre. */
  assignment: Assignment | null;
}

/**
 * Loss of the anchor-free YOLO heads: CIoU and distribution focal loss of the assigned anchors, weighted by
 * their target scores, and binary cross-entropy of all class logits, each over the sum of target scores.
 *
 * It is an fp32 island on every device: in low precision the box arithmetic would lose pixels, and the CPU's
 * autocast list does not protect softmax, pow and sum. Nothing is read back to the host.
 */
export class DetectionLoss implements Criterion {
  readonly items = ['box', 'cls', 'dfl'] as const;
  readonly gains: LossGains;
  readonly assigner: TaskAlignedAssigner;
  private readonly nc: number;
  private readonly strides: readonly number[];
  private readonly regMax: number;
  private readonly classWeights: readonly number[] | null;

  constructor(options: DetectionLossOptions) {
    this.nc = options.nc;
    this.strides = options.strides;
    this.regMax = options.regMax ?? 16;
    this.gains = options.gains ?? { box: 7.5, cls: 0.5, dfl: 1.5 };
    this.assigner = options.assigner ?? new TaskAlignedAssigner();
    this.classWeights = options.classWeights ?? null;
  }

  get settings(): Readonly<Record<string, unknown>> {
    const weights = this.classWeights === null ? {} : { classWeights: this.classWeights };
    return { gains: this.gains, rule: this.assigner.centreRule, ...weights };
  }

  forward(maps: HeadMaps, rows: Float32Array, shared?: SharedBatch): DetectionLossResult {
    const { device } = maps.box[0]!;
    return withoutAutocast(device, () =>
      scope(() => {
        const levels = levelsOf(maps.box, this.strides);
        const { height, width, stride } = levels[0]!;
        const batch = maps.box[0]!.size(0);
        const net = { batch, classes: this.nc, height: height * stride, width: width * stride };
        const targets = pixelTargets(rows, net);
        const targetBoxes = upload(targets.boxes, [targets.count, 4], { device });
        const grid = anchorGrid(levels, device);
        const sides = sidesOf(joinLevels(maps.box), this.regMax); // [B, A, 4, R]
        const logits = joinLevels(maps.cls); // [B, A, C]

        const boxes = this.pixelBoxes(sides, grid);
        const assignment = this.assigner.assign(logits, boxes, targetBoxes, targets, levels);
        const cls = classification(logits, assignment, this.classWeights);
        const [box, dfl] = this.regression(sides, grid, targetBoxes, assignment);
        const here = assignment?.weight.sum();
        const whole = shared ? shared.sum(here ?? zeros([], { device })) : here;
        const normaliser = whole?.clampMin(1) ?? 1;
        const items = stack([box.mul(this.gains.box), cls.mul(this.gains.cls), dfl.mul(this.gains.dfl)]).div(
          normaliser,
        );
        return { total: items.sum().mul(shared?.pictures ?? batch), items: items.detach(), assignment };
      }),
    );
  }

  /** Predicted corners in pixels [B, A, 4], for the assigner only. */
  private pixelBoxes(sides: Tensor, grid: AnchorGrid): Tensor {
    return noGrad(() =>
      scope(() =>
        dist2bbox(expectedDistance(sides, distanceBins(this.regMax, sides.device)), grid.points).mul_(
          grid.strides,
        ),
      ),
    );
  }

  /** Weighted sums of 1 - CIoU and of the focal loss, in cells. */
  private regression(
    sides: Tensor,
    grid: AnchorGrid,
    targetBoxes: Tensor,
    assignment: Assignment | null,
  ): [box: Tensor, dfl: Tensor] {
    const { device } = sides;
    if (assignment === null) return [zeros([], { device }), zeros([], { device })];
    return scope(() => {
      const { anchor, target, weight } = assignment;
      const bins = distanceBins(this.regMax, device);
      const cell = anchor.remainder(sides.size(1));
      const points = grid.points.indexSelect(0, cell); // [S, 2]
      const wanted = targetBoxes.indexSelect(0, target).div_(grid.strides.indexSelect(0, cell)); // [S, 4]
      const sidesS = sides.flatten(0, 1).indexSelect(0, anchor); // [S, 4, R]
      const overlap = pairwiseIou(dist2bbox(expectedDistance(sidesS, bins), points), wanted, 'ciou');
      const focal = distributionFocalLoss(sidesS, bbox2dist(points, wanted, this.regMax - 1), bins);
      return [overlap.rsub(1).mul(weight).sum(), focal.mul(weight).sum()];
    });
  }
}

/**
 * Σ of the binary cross-entropy of all logits [B, A, C]. Targets are zero but for the assigned class of the
 * assigned anchors, so it is Σ softplus(logit) less Σ score · logit: no target tensor as large as the logits.
 * @param weights of the classes
 */
function classification(
  logits: Tensor,
  assignment: Assignment | null,
  weights: readonly number[] | null,
): Tensor {
  return scope(() => {
    const classes = logits.size(-1);
    const weightsC =
      weights && upload(Float32Array.from(weights), [classes], { device: logits.device, dtype: 'float32' });
    const background = logits.softplus();
    const total = weightsC ? background.mul(weightsC).sum() : background.sum();
    if (assignment === null) return total;
    const { score, weight } = assignment;
    const reward = logits.flatten().indexSelect(0, score).mul(weight);
    if (!weightsC) return total.sub(reward.sum());
    return total.sub(reward.mul(weightsC.indexSelect(0, score.remainder(classes))).sum());
  });
}
