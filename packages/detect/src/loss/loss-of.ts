import { TaskAlignedAssigner } from '../assign/task-aligned.ts';
import { AnchorDetect } from '../models/anchor-detect.ts';
import type { DetectionModel } from '../models/build.ts';
import { ANCHOR_GAINS, AnchorLoss } from './anchor.ts';
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
}

/** `box=` of the anchor-free heads; with anchors the overlap is weighted far lower, and this stands for "not set". */
const FREE_BOX = 7.5;

/** The loss that a training with these settings minimises: that of the model's head. */
export function lossOf(model: DetectionModel, settings: LossSettings): Criterion {
  const { box, cls, dfl, obj, inflate } = settings;
  if (model.head instanceof AnchorDetect) {
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
    assigner: new TaskAlignedAssigner({ centreRule: inflate === 0 ? 'noInflate' : 'inflate16' }),
  });
}
