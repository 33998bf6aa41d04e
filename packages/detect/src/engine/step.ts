import {
  type amp,
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
  zerosLike,
} from '@mezzo/torch';
import type { Size } from '../augment/geometry.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import { ALONE, type Ranks, type Trained } from '../ranks/ranks.ts';
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
  /** With whom the batches are shared; alone unless given. */
  ranks?: Ranks;
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
  private readonly ranks: Ranks;
  private readonly trained: Trained;
  private phaseListener: ((phase: Phase) => void) | undefined;
  /** Since `resetLosses`, on the device. Batches of windows that were rolled back are not in it. */
  private readonly sums: Tensor;

  constructor(parts: StepParts) {
    const { model, optimizer, scaler, ema, clip, device, ranks = ALONE } = parts;
    this.parts = parts;
    this.ranks = ranks;
    this.trained = ranks.wrap(model);
    this.sums = keep(zeros([SUMS], { device }));
    this.transaction = new TrainingStep({
      model: this.trained.module,
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
   * @param pictures of the batch on all ranks, of which `images` are this rank's; as many on each unless given
   */
  run(images: () => Tensor, rows: Float32Array, closes = true, size?: Size, pictures?: number): StepResult {
    const { loss, precision, device } = this.parts;
    const { ranks, trained } = this;
    const region = {
      device: deviceType(device),
      dtype: precision.dtype,
      enabled: precision.enabled,
    } as const;
    const forward = () => {
      const input = toInput(images(), device, precision, size);
      const maps = autocast(region, () => trained.forward(input));
      const result = loss.forward(maps, rows, ranks.batch(pictures ?? input.size(0) * ranks.size));
      noGrad(() => {
        this.sums.narrow(0, 0, SUMS - 1).add_(result.items);
        this.sums.narrow(0, SUMS - 1, 1).add_(1);
      });
      this.phaseListener?.('forward');
      return ranks.objective(result, maps);
    };
    const train = () => this.transaction.run(forward, { closes });
    const result = closes ? train() : trained.accumulate(train);
    this.phaseListener?.('optimizer');
    return result;
  }

  /** Mean items of the loss since the epoch began, of all ranks. HOST SYNC: the caller decides how often. */
  meanLosses(): number[] {
    return meansOf(this.lossState());
  }

  /** Starts the means anew. */
  resetLosses(): void {
    noGrad(() => this.sums.zero_());
    this.transaction.noteState();
  }

  /** The sums over all ranks and their count, for a checkpoint. HOST SYNC. */
  lossState(): { sums: number[]; batches: number } {
    const values = Array.from(this.sums.toTypedArray() as Float32Array);
    return { sums: this.ranks.sum(values.slice(0, -1)), batches: values.at(-1)! };
  }

  /** Goes on from a checkpoint's sums: the first rank has them. */
  restoreLosses({ sums, batches }: { sums: readonly number[]; batches: number }): void {
    const own = this.ranks.rank === 0 ? sums : sums.map(() => 0);
    scope(() => noGrad(() => this.sums.copy_(tensor([...own, batches], { dtype: 'float32' }))));
  }

  /** Goes on in the middle of a window; the sums that it would go back to are the first rank's too. */
  resumeWindow(window: amp.OpenWindow): void {
    const state = this.ranks.rank === 0 ? window.state : window.state.map((sums) => zerosLike(sums));
    this.transaction.resumeWindow({ ...window, state });
  }
}
