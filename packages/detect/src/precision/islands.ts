import path from 'node:path';
import {
  type AppliedPlan,
  AutoPrecision,
  type AutoPrecisionState,
  atLayer,
  type HealingOptions,
  type PrecisionPlan,
  type Replay,
  writePlan,
} from '@mezzo/precision';
import { autocast, type WindowResult } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import type { ImageBlock } from '../engine/batch-memory.ts';
import { imagesOf } from '../engine/batches.ts';
import { type DeviceName, deviceType } from '../engine/device.ts';
import { toInput } from '../engine/images.ts';
import type { RunPrecision } from '../engine/precision.ts';
import type { WindowContext, WindowObserver } from '../engine/window-observer.ts';
import type { Criterion } from '../loss/criterion.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';

export interface IslandParts {
  model: DetectionModel;
  /** The averaged model, which follows the same plan. */
  average: DetectionModel;
  loss: Criterion;
  device: DeviceName;
  precision: Pick<RunPrecision, 'enabled' | 'dtype' | 'channelsLast'>;
  plan: PrecisionPlan;
  /** Move layers that overflow again and again: amp=auto. */
  heals: boolean;
  healing?: Partial<HealingOptions>;
}

type Batch = Pick<TrainBatch<ImageBlock>, 'memory' | 'shape' | 'input' | 'targets'>;
type Context = Pick<WindowContext, 'batch' | 'emit'> & { readonly run: { readonly saveDir: string } };

/**
 * The precision plan of a run, at work on the model and its average; with `heals` it changes as the run goes on.
 * Each change is an event, and precision.json is the plan with all of them.
 */
export class Islands implements WindowObserver {
  readonly name = 'precision';
  private readonly parts: IslandParts;
  private readonly auto: AutoPrecision;
  /** A skipped window whose batch was gone when the host came to know of it. */
  private late: { result: WindowResult; context: Context } | null = null;

  /** @throws PlanError PLAN_MISMATCH for layers or operations that are not there */
  constructor(parts: IslandParts) {
    const { model, average, plan, healing } = parts;
    this.parts = parts;
    this.auto = new AutoPrecision({ model, twins: [average], plan, ...(healing ? { healing } : {}) });
  }

  /** The plan in force, with its history. */
  get plan(): PrecisionPlan {
    return this.auto.plan;
  }

  /** The plan at work on the model in training. */
  get applied(): AppliedPlan {
    return this.auto.applied;
  }

  /** Writes precision.json into the run's folder. */
  save(folder: string): void {
    writePlan(path.join(folder, 'precision.json'), this.plan);
  }

  /** A layer that overflows does so in most batches: the next one stands in for a batch that is gone. */
  beforeBatch(batch: Batch): void {
    if (this.late !== null) this.settle(batch);
  }

  afterWindow(result: WindowResult, context: Context): void {
    if (!this.parts.heals) return;
    if (this.late !== null) this.settle(null);
    this.late = { result, context };
    if (result.applied || context.batch !== null) this.settle(context.batch);
  }

  state(): AutoPrecisionState {
    if (this.late !== null) this.settle(null);
    return this.auto.state();
  }

  restore(state: unknown): void {
    if (state !== undefined) this.auto.load(state as AutoPrecisionState);
  }

  /** Takes the plan off both models. */
  remove(): void {
    this.auto.remove();
  }

  private settle(batch: Batch | null): void {
    const { result, context } = this.late!;
    this.late = null;
    const events = this.auto.afterWindow(result, batch === null ? undefined : this.replayOf(batch));
    for (const event of events) context.emit(event);
    if (events.length > 0) this.save(context.run.saveDir);
  }

  private replayOf(batch: Batch): Replay {
    const { model, loss, device, precision } = this.parts;
    const region = { device: deviceType(device), dtype: precision.dtype, enabled: precision.enabled };
    return (scale) => {
      const input = toInput(imagesOf(batch), device, precision, batch.input);
      const maps = autocast(region, () => model.forward(input)) as HeadMaps;
      const { total } = atLayer('loss', () => loss.forward(maps, batch.targets));
      total.mul(scale).backward();
    };
  }
}
