import { autocast, type GradScaler, keep, nn, noGrad, scope, type Tensor, tensor, zeros } from '@mezzo/torch';
import type { DetectionLoss } from '../loss/detection.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';
import { type DeviceName, deviceType } from './device.ts';
import type { ModelEma } from './ema.ts';
import { toInput } from './images.ts';
import type { GroupedOptimizer } from './optimizer.ts';
import type { RunPrecision } from './precision.ts';

export interface StepParts {
  model: DetectionModel;
  loss: DetectionLoss;
  optimizer: GroupedOptimizer;
  ema: ModelEma<DetectionModel>;
  scaler: GradScaler;
  precision: RunPrecision;
  device: DeviceName;
  /** Largest L2 norm of all gradients; 0 does not clip. */
  clip: number;
}

/**
 * Forward, loss and backward of one batch; unscale, clip, step and average of one accumulation window.
 * fp32 and bf16 run the same code with the scaler disabled. Everything a step creates is freed with it.
 */
export class TrainStep {
  readonly parts: StepParts;
  private readonly parameters: Tensor[];
  /** Sums of the loss items since `takeLosses`, on the device. */
  private readonly sums: Tensor;
  private batches = 0;

  constructor(parts: StepParts) {
    this.parts = parts;
    this.parameters = parts.model.parameters().filter((parameter) => parameter.requiresGrad);
    this.sums = keep(zeros([3], { device: parts.device }));
  }

  /**
   * Adds the gradients of one batch: `images` gives uint8 [B, C, H, W], `rows` are image, class, cx, cy, w, h.
   */
  accumulate(images: () => Tensor, rows: Float32Array): void {
    const { model, loss, scaler, precision, device } = this.parts;
    scope(() => {
      const input = toInput(images(), device, precision);
      const region = {
        device: deviceType(device),
        dtype: precision.dtype,
        enabled: precision.enabled,
      } as const;
      const maps = autocast(region, () => model.forward(input)) as HeadMaps;
      const { total, items } = loss.forward(maps, rows);
      scaler.scale(total).backward();
      noGrad(() => this.sums.add_(items));
    });
    this.batches += 1;
  }

  /** Ends an accumulation window: applies its gradients and returns true, or drops them when they overflowed. */
  update(): boolean {
    const { optimizer: grouped, scaler, ema, clip } = this.parts;
    const { optimizer } = grouped;
    return scope(() => {
      scaler.unscale_(optimizer);
      if (clip > 0) nn.utils.clipGradNorm_(this.parameters, clip);
      scaler.step(optimizer);
      scaler.update();
      optimizer.zeroGrad();
      const applied = scaler.skipped(optimizer) !== true;
      if (applied) ema.update();
      return applied;
    });
  }

  /** Mean losses [box, cls, dfl] since the epoch began. HOST SYNC: the caller decides how often. */
  meanLosses(): number[] {
    const sums = this.sums.toTypedArray() as Float32Array;
    return Array.from(sums, (sum) => sum / Math.max(this.batches, 1));
  }

  /** Starts the means anew, or from a checkpoint's sums. */
  resetLosses(sums: readonly number[] = [0, 0, 0], batches = 0): void {
    scope(() => noGrad(() => this.sums.copy_(tensor([...sums], { dtype: 'float32' }))));
    this.batches = batches;
  }

  /** The sums and their count, for a checkpoint. */
  lossState(): { sums: number[]; batches: number } {
    return { sums: Array.from(this.sums.toTypedArray() as Float32Array), batches: this.batches };
  }
}
