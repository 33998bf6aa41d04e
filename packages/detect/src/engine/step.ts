import {
  autocast,
  type GradScaler,
  keep,
  noGrad,
  type StepResult,
  scope,
  type Tensor,
  TrainingStep,
  tensor,
  zeros,
} from '@mezzo/torch';
import type { Size } from '../augment/geometry.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';
import { type DeviceName, deviceType } from './device.ts';
import type { ModelEma } from './ema.ts';
import { toInput } from './images.ts';
import type { GroupedOptimizer } from './optimizer.ts';
import type { Phase } from './phase-times.ts';
import type { RunPrecision } from './precision.ts';

export interface StepParts {
  model: DetectionModel;
  loss: Criterion;
  optimizer: GroupedOptimizer;
  ema: ModelEma<DetectionModel>;
  scaler: GradScaler;
  precision: RunPrecision;
  device: DeviceName;
  /** Largest L2 norm of all gradients; 0 does not clip. */
  clip: number;
}

/** Means of the loss's items. */
export const meansOf = ({ sums, batches }: { sums: readonly number[]; batches: number }): number[] =>
  sums.map((sum) => sum / Math.max(batches, 1));

/** Sums of the loss's three items, and of how many batches. */
const SUMS = 4;

/**
 * The training step of a detector as a transaction: forward, loss and backward of each batch; unscaling, clipping,
 * step and average of one accumulation window. fp32 and bf16 run the same code with the scaler disabled. Everything
 * a step creates is freed with it.
 */
export class TrainStep {
  readonly parts: StepParts;
  readonly transaction: TrainingStep;
  private phaseListener: ((phase: Phase) => void) | undefined;
  /** Since `resetLosses`, on the device. Batches of windows that were rolled back are not in it. */
  private readonly sums: Tensor;

  constructor(parts: StepParts) {
    const { model, optimizer, scaler, ema, clip, device } = parts;
    this.parts = parts;
    this.sums = keep(zeros([SUMS], { device }));
    this.transaction = new TrainingStep({
      model,
      optimizers: optimizer.optimizer,
      scaler,
      ema,
      clip,
      state: [this.sums],
    });
    this.transaction.onBackward(() => this.phaseListener?.('backward'));
  }

  /** Tells when a phase of a step has ended: has been queued, on a GPU. */
  onPhase(listener: (phase: Phase) => void): void {
    this.phaseListener = listener;
  }

  /**
   * Trains on one batch: `images` gives uint8 [B, C, H, W], `rows` are image, class, cx, cy, w, h.
   * @param closes whether the accumulation window ends with it
   * @param size to which the images are scaled first
   */
  run(images: () => Tensor, rows: Float32Array, closes = true, size?: Size): StepResult {
    const { model, loss, precision, device } = this.parts;
    const region = {
      device: deviceType(device),
      dtype: precision.dtype,
      enabled: precision.enabled,
    } as const;
    const forward = () => {
      const input = toInput(images(), device, precision, size);
      const maps = autocast(region, () => model.forward(input)) as HeadMaps;
      const { total, items } = loss.forward(maps, rows);
      noGrad(() => {
        this.sums.narrow(0, 0, SUMS - 1).add_(items);
        this.sums.narrow(0, SUMS - 1, 1).add_(1);
      });
      this.phaseListener?.('forward');
      return total;
    };
    const result = this.transaction.run(forward, { closes });
    this.phaseListener?.('optimizer');
    return result;
  }

  /** Mean items of the loss since the epoch began. HOST SYNC: the caller decides how often. */
  meanLosses(): number[] {
    return meansOf(this.lossState());
  }

  /** Starts the means anew. */
  resetLosses(): void {
    noGrad(() => this.sums.zero_());
    this.transaction.noteState();
  }

  /** The sums and their count, for a checkpoint. HOST SYNC. */
  lossState(): { sums: number[]; batches: number } {
    const values = Array.from(this.sums.toTypedArray() as Float32Array);
    return { sums: values.slice(0, -1), batches: values.at(-1)! };
  }

  /** Goes on from a checkpoint's sums. */
  restoreLosses({ sums, batches }: { sums: readonly number[]; batches: number }): void {
    scope(() => noGrad(() => this.sums.copy_(tensor([...sums, batches], { dtype: 'float32' }))));
  }
}
