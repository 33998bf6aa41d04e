import { type BoundarySampling, calibrateScale, sampleBoundaries } from '@mezzo/precision';
import { autocast, cuda } from '@mezzo/torch';
import type { TrainBatch } from '../data/train-loader.ts';
import type { HeadMaps } from '../models/decode.ts';
import type { ImageBlock } from './batch-memory.ts';
import { imagesOf } from './batches.ts';
import { deviceType } from './device.ts';
import { toInput } from './images.ts';
import { ScaleObserver } from './loss-scale.ts';
import type { FollowedRun } from './run.ts';
import type { WindowObserver } from './window-observer.ts';

/** Measures what a computed scale goes by: once before the first step, then between the modules now and then. */
class ComputedScale implements WindowObserver {
  readonly name = 'computed scale';
  private readonly run: FollowedRun;
  private sampling: BoundarySampling | undefined;
  /** Of the run that is resumed; its scale is known. */
  private before: { updates: number } | undefined;

  constructor(run: FollowedRun) {
    this.run = run;
  }

  beforeBatch(batch: TrainBatch<ImageBlock>): void {
    if (this.sampling !== undefined) return;
    const { model, scaler, loss, device, precision } = this.run;
    const wide = device === 'cpu' || cuda.isBf16Supported();
    calibrateScale({
      model,
      scaler,
      device: deviceType(device),
      dtype: wide ? 'bfloat16' : 'float32',
      keepScale: this.before !== undefined,
      loss: (region) => {
        const dtype = wide ? 'bfloat16' : 'float32';
        const { channelsLast } = precision;
        const input = toInput(imagesOf(batch), device, { dtype, channelsLast }, batch.input);
        const maps = autocast(region, () => model.forward(input)) as HeadMaps;
        return loss.forward(maps, batch.targets).total;
      },
    });
    this.sampling = sampleBoundaries(model, scaler, this.before ?? {});
  }

  state(): unknown {
    return this.sampling === undefined ? this.before : { updates: this.sampling.updates };
  }

  restore(state: unknown): void {
    this.before = state as typeof this.before;
  }
}

/** Those who look after the loss scale of a run; nobody where there is none. */
export function scaleObservers(run: FollowedRun): WindowObserver[] {
  if (!run.scaler.isEnabled()) return [];
  const observer = new ScaleObserver(run.settings);
  return run.scaler.computed ? [observer, new ComputedScale(run)] : [observer];
}
