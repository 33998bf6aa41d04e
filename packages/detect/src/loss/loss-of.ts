import { MezzoError } from '@mezzo/torch';
import { TaskAlignedAssigner } from '../assign/task-aligned.ts';
import { AnchorDetect } from '../models/anchor-detect.ts';
import type { DetectionModel } from '../models/build.ts';
import { ANCHOR_GAINS, AnchorLoss } from './anchor.ts';
import { classWeights } from './class-weights.ts';
import type { Criterion } from './criterion.ts';
import { DetectionLoss } from './detection.ts';

/** The options that losses depend on. */
export interface LossSettings {
  readonly imgsz: number;
  readonly box: number;
  readonly cls: number;
  readonly dfl: number;
  readonly obj: number;
  readonly anchor_t: number;
  readonly inflate: number;
  /** Power of the inverse class frequency, and the objects of each class that it is taken of. */
  readonly cls_pw?: number;
  readonly classCounts?: readonly number[];
}

/** `box=` of the anchor-free heads; with anchors the overlap is weighted far lower, and this stands for "not set". */
const FREE_BOX = 7.5;

/** Below, a gain of the box loss is meant for a head with anchors. */
const LEAST_FREE_BOX = 1;

/** What is odd about the gains for this network's loss; null: nothing. */
export function foreignGain(model: DetectionModel, { box }: Pick<LossSettings, 'box'>): string | null {
  if (model.head instanceof AnchorDetect || box >= LEAST_FREE_BOX) return null;
  return `box=${box} is a gain for YOLOv5's networks with anchors; this network has none, and ${FREE_BOX} is its default`;
}

/**
 * The loss that a training with these settings minimises: that of the model's head.
 * @throws {MezzoError} BAD_OPTION for class weights where the head has anchors
 */
export function lossOf(model: DetectionModel, settings: LossSettings): Criterion {
  const { box, cls, dfl, obj, inflate, cls_pw: power = 0, classCounts: counts = [] } = settings;
  if (model.head instanceof AnchorDetect) {
    if (power > 0) {
      throw new MezzoError(
        'BAD_OPTION',
        `cls_pw=${power}: the loss of networks with anchors has no class weights`,
      );
    }
    return new AnchorLoss({
      head: model.head,
      imgsz: settings.imgsz,
      gains: { box: box === FREE_BOX ? ANCHOR_GAINS.box : box, obj, cls },
      limit: settings.anchor_t,
    });
  }
  return new DetectionLoss({
    nc: model.nc,
    strides: model.strides,
    gains: { box, cls, dfl },
    classWeights: counts.length === 0 ? null : classWeights(counts, power),
    assigner: new TaskAlignedAssigner({ centreRule: inflate === 0 ? 'noInflate' : 'inflate16' }),
  });
}
