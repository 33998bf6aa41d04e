import path from 'node:path';
import { getNumThreads, MezzoError } from '@mezzo/torch';
import { TARGET_COLUMNS } from '../data/targets.ts';
import type { TrainBatch } from '../data/train-loader.ts';
import { VALIDATION_NMS } from '../metrics/nms.ts';
import type { ImageBlock } from './batch-memory.ts';
import { imagesOf } from './batches.ts';
import { type CheckpointContents, identityOf, writeCheckpoint } from './checkpoint.ts';
import { type EpochEvent, isWindowEvent, type Losses, type TrainEvent } from './event.ts';
import { notFinite } from './finite-state.ts';
import type { HostMemoryLimit } from './memory-limit.ts';
import { requireFinite } from './non-finite.ts';
import type { RunPictures } from './pictures.ts';
import { inBatchesOf, type Position, START } from './position.ts';
import { randomStates } from './random-state.ts';
import type { Run } from './run.ts';
import type { RunRecord } from './run-files.ts';
import { type MachineUse, RunMonitor } from './run-monitor.ts';
import { planIteration } from './schedule.ts';
import { meansOf } from './step.ts';
import { EarlyStopping } from './stopper.ts';
import { type ValidateOutcome, validate } from './validator.ts';
import { WindowFollower } from './window-follower.ts';
import type { WindowObserver } from './window-observer.ts';

export interface TrainHooks {
  emit: (event: TrainEvent) => void;
  signal?: AbortSignal;
  /** Kept up to date from step to step. */
  memoryLimit?: HostMemoryLimit;
  /** Follow the run window by window, in this order. */
  observers?: readonly WindowObserver[];
}

export interface TrainEnd {
  epochs: number;
  stopped: 'patience' | 'time' | null;
  best: Position['best'];
  seconds: number;
}

// A device that is not the host is asked for its numbers at most this often for the progress line.
const PROGRESS_INTERVAL_MS = 500;

/** The training loop: epochs of steps, each followed by validation, a row of results and a checkpoint. */
export class Training {
  private readonly run: Run;
  private readonly files: RunRecord;
  private readonly pictures: RunPictures;
  private readonly hooks: TrainHooks;
  private readonly at: Position;
  private readonly windows: WindowFollower;
  private readonly monitor: RunMonitor;
  private readonly stopper: EarlyStopping;
  private readonly begun = performance.now();
  private readonly secondsBefore: number;
  private finished = false;
  private lastProgress = 0;
  private saved: string | null = null;
  private lastStepEnd = performance.now();
  private progress = { losses: [0, 0, 0] as number[], scale: 1 };

  constructor(
    run: Run,
    files: RunRecord,
    pictures: RunPictures,
    hooks: TrainHooks,
    position: Position = { ...START, epochs: run.settings.epochs },
    batchBefore: number = run.settings.batch,
  ) {
    this.run = run;
    this.files = files;
    this.pictures = pictures;
    this.hooks = hooks;
    this.at = inBatchesOf(structuredClone(position), {
      before: batchBefore,
      now: run.settings.batch,
      batches: run.train.batches,
    });
    this.secondsBefore = position.seconds;
    this.stopper = new EarlyStopping(run.settings.patience, position.best);
    this.monitor = new RunMonitor(run.device);
    run.step.onPhase((phase) => this.monitor.mark(phase));
    this.windows = new WindowFollower(run, this.at, hooks.observers ?? [], (event) => this.tell(event));
  }

  /** The epoch in progress, from 0, and how many there are to be. */
  get progressOfEpochs(): { epoch: number; epochs: number } {
    return { epoch: this.at.epoch, epochs: this.at.epochs };
  }

  /** The checkpoint to go on from that was written last; null when none was. */
  get lastSaved(): string | null {
    return this.saved;
  }

  /** @throws {MezzoError} INTERRUPTED after `signal` aborted and a checkpoint was written */
  async train(): Promise<TrainEnd> {
    let stopped: TrainEnd['stopped'] = null;
    try {
      while (this.at.epoch < this.at.epochs && stopped === null) {
        const epochBegun = performance.now();
        await this.trainEpoch();
        stopped = await this.endEpoch(epochBegun);
      }
    } finally {
      this.monitor.stop();
    }
    const { best, epoch } = this.at;
    return { epochs: epoch, stopped, best, seconds: this.seconds() };
  }

  /** Marks the run as over, its pictures included: killed before, `resume` makes up for what is missing. */
  async complete(): Promise<void> {
    this.finished = true;
    if (this.run.settings.save) await this.save();
  }

  private seconds(): number {
    return this.secondsBefore + (performance.now() - this.begun) / 1000;
  }

  private async trainEpoch(): Promise<void> {
    const { run, at } = this;
    const { epoch, epochs } = at;
    const closing = Math.max(0, epochs - run.settings.close_mosaic);
    const mosaic = epoch < closing;
    if (epoch === closing && at.batch === 0) {
      this.hooks.emit({ event: 'message', level: 'info', text: 'Closing dataloader mosaic' });
    }
    this.prepareModel();
    if (at.batch === 0) run.step.resetLosses();
    const batches = run.train.epoch(epoch, { from: at.batch, mosaic });
    this.monitor.begin();
    for await (const batch of batches) {
      this.monitor.mark('data');
      this.hooks.memoryLimit?.follow();
      const ni = epoch * run.train.batches + at.batch;
      const plan = planIteration({ ...run.schedule, epochs }, ni);
      run.optimizer.apply(plan);
      this.pictures.trainBatch(ni, batch, epoch === 0 || epoch === closing);
      const closes = ni - at.lastStep >= plan.accumulate;
      this.trainBatch(batch, closes ? ni : null);
      batch.memory.release();
      at.batch += 1;
      this.reportStep(batch);
      // The gradients of an open window are not the same on all ranks: there they are no part of a checkpoint.
      const maySave = closes || run.ranks.size === 1;
      if (this.interrupted() && maySave && at.batch < run.train.batches) await this.interrupt();
    }
  }

  /** Was any rank asked to stop? */
  private interrupted(): boolean {
    return this.run.ranks.any([this.hooks.signal?.aborted ?? false])[0]!;
  }

  private prepareModel(): void {
    const { model, frozen } = this.run;
    model.train();
    for (const layer of frozen) model.model.at(layer).eval();
  }

  /** @param step the iteration, when this batch ends an accumulation window */
  private trainBatch(batch: TrainBatch<ImageBlock>, step: number | null): void {
    const { at, run } = this;
    if (step !== null) {
      at.lastStep = step;
      at.steps += 1;
    }
    this.windows.follow(batch, () =>
      run.step.run(() => imagesOf(batch), batch.targets, step !== null, batch.input, batch.whole),
    );
  }

  /** Emits an event, and logs it when it is about a step. */
  private tell(event: TrainEvent): void {
    this.hooks.emit(event);
    if (isWindowEvent(event)) this.files.log(event);
  }

  private reportStep({ targets, whole, input }: TrainBatch<ImageBlock>): void {
    const { run, at } = this;
    const now = performance.now();
    const last = at.batch === run.train.batches;
    const due = run.device === 'cpu' || last || now - this.lastProgress >= PROGRESS_INTERVAL_MS;
    const [instances] = run.ranks.sum([targets.length / TARGET_COLUMNS]);
    if (due) {
      // HOST SYNC: twice a second at most on a GPU.
      const read = run.step.lossState();
      this.progress = { losses: meansOf(read), scale: run.scaler.getScale() };
      this.windows.losses(read, this.progress.scale);
      this.lastProgress = now;
    }
    const scaled = run.scaler.isEnabled();
    const event = {
      event: 'step',
      epoch: at.epoch + 1,
      epochs: at.epochs,
      step: at.batch,
      steps: run.train.batches,
      losses: named(run.loss.items, this.progress.losses),
      instances: instances!,
      size: Math.max(input.width, input.height),
      memoryBytes: this.monitor.peakBytes(),
      ...this.monitor.step(whole),
      ...(scaled ? { scale: this.progress.scale } : {}),
      skipped: at.skipped,
    } as const;
    this.hooks.emit(event);
    const { epochs: _, steps: __, phases: ___, ...record } = event;
    this.files.log({ ...record, lr: run.optimizer.rates(), ms: now - this.lastStepEnd });
    this.lastStepEnd = now;
  }

  /** Saves where the run stands in the middle of an epoch, and ends it. */
  private async interrupt(): Promise<never> {
    const { at, run } = this;
    run.step.transaction.flush();
    at.losses = run.step.lossState();
    if (run.settings.save) await run.ranks.fromFirst(() => this.save());
    const resumable = run.settings.save ? '' : ' (save=false: nothing was saved)';
    throw new MezzoError(
      'INTERRUPTED',
      `training was interrupted in epoch ${at.epoch + 1} of ${at.epochs}${resumable}`,
    );
  }

  private async endEpoch(begun: number): Promise<TrainEnd['stopped']> {
    const { run, at } = this;
    run.step.transaction.flush();
    const losses = run.step.meanLosses();
    const use = this.monitor.epoch();
    const broken = [run.model, run.ema.model].flatMap((model) => notFinite(() => model.stateDict()));
    requireFinite([...new Set(run.ranks.gather(broken).flat())], losses, this.windows.latest);
    const { epoch } = at;
    const last = epoch + 1 === at.epochs;
    const { stopped, epochs } = await run.ranks.fromFirst(() => this.conclude(begun, losses, use, last));
    if (at.epoch === epoch) this.nextEpoch();
    at.epochs = epochs;
    if (this.interrupted() && !last) {
      throw new MezzoError('INTERRUPTED', `training was interrupted after epoch ${at.epoch} of ${at.epochs}`);
    }
    return stopped;
  }

  private nextEpoch(): void {
    this.at.epoch += 1;
    this.at.batch = 0;
    this.at.losses = { sums: [0, 0, 0], batches: 0 };
  }

  /** What one rank does for all at the end of an epoch: validation, results and checkpoint. */
  private async conclude(
    begun: number,
    losses: readonly number[],
    { phases, ...use }: MachineUse,
    last: boolean,
  ): Promise<{ stopped: TrainEnd['stopped']; epochs: number }> {
    const { run, at } = this;
    const { settings } = run;
    const validationBegun = performance.now();
    const outcome = settings.val || last ? await this.validate() : null;
    const validation = (performance.now() - validationBegun) / 1000;
    const fitness = outcome?.result.fitness ?? 0;
    const { improved, stop } = this.stopper.record(at.epoch, fitness);
    const box = outcome?.result.box;
    if (improved) at.best = { epoch: at.epoch, fitness, map50: box?.map50 ?? 0, map: box?.map ?? 0 };
    const event: EpochEvent = {
      event: 'epoch',
      epoch: at.epoch + 1,
      epochs: at.epochs,
      losses: named(run.loss.items, losses),
      valLosses: named(run.loss.items, outcome?.losses ?? []),
      precision: box?.precision ?? 0,
      recall: box?.recall ?? 0,
      map50: box?.map50 ?? 0,
      map: box?.map ?? 0,
      images: outcome?.result.images ?? 0,
      instances: outcome?.result.instances ?? 0,
      lr: run.optimizer.rates(),
      scale: run.scaler.isEnabled() ? run.scaler.getScale() : null,
      skipped: at.skipped,
      seconds: (performance.now() - begun) / 1000,
      ...use,
      phases: { ...phases, validation },
      peakBytes: this.monitor.peakBytes(),
      best: improved,
    };
    this.nextEpoch();
    const timeIsUp = this.fitIntoTime();
    this.files.epoch(event, this.seconds());
    if (settings.save) await this.saveEpoch(event, improved);
    this.hooks.emit(event);
    const stopped = timeIsUp ? 'time' : stop && !last ? 'patience' : null;
    return { stopped, epochs: at.epochs };
  }

  /** With `time=`, as many epochs as will fit, by those there were; the schedule follows. True when none does. */
  private fitIntoTime(): boolean {
    const { run, at } = this;
    if (run.settings.time === null) return false;
    const limit = run.settings.time * 3600;
    const up = this.seconds() >= limit;
    at.epochs = up ? at.epoch : Math.max(at.epoch + 1, Math.ceil((limit * at.epoch) / this.seconds()));
    return up;
  }

  private validate(): Promise<ValidateOutcome> {
    const { run, hooks } = this;
    return validate({
      model: run.ema.model,
      batches: run.val.run(),
      boxGain: run.settings.box_gain,
      device: run.device,
      precision: run.precision,
      nms: { ...VALIDATION_NMS, iou: run.settings.iou, maxDet: run.settings.max_det },
      rules: run.rules,
      names: run.data.names,
      loss: run.loss,
      onBatch: (step) => hooks.emit({ event: 'valStep', step, steps: run.val.batches }),
    });
  }

  private async saveEpoch({ epoch, map50, map }: EpochEvent, improved: boolean): Promise<void> {
    const { run, files } = this;
    // best first: a kill between the two leaves a `last` that redoes this epoch and writes `best` again.
    if (improved) await writeCheckpoint(files.best, { ...this.averaged(), epoch, map50, map });
    if (run.settings.save_period > 0 && epoch % run.settings.save_period === 0) {
      await writeCheckpoint(path.join(files.weights, `epoch${epoch}.safetensors`), {
        ...this.averaged(),
        epoch,
        map50,
        map,
      });
    }
    // Weights that have just stopped giving finite steps are no place to go back to.
    if ((this.at.hopeless ?? 0) === 0) await this.save();
  }

  private averaged(): Pick<CheckpointContents, 'identity' | 'weights' | 'data' | 'plan' | 'modality'> {
    const { ema, data, islands, settings } = this.run;
    const { plan } = islands;
    return {
      identity: identityOf(ema.model),
      weights: ema.model.stateDict(),
      data: data.path,
      ...(plan.rules.length > 0 ? { plan } : {}),
      ...(settings.modality === null ? {} : { modality: settings.modality }),
    };
  }

  /** Writes `last`. In the middle of an accumulation window its gradients are part of the state. */
  private async save(): Promise<void> {
    const { run, at, files } = this;
    const { optimizer, model, scaler } = run;
    const { transaction } = run.step;
    transaction.flush();
    at.observers = this.windows.observerStates();
    const window = transaction.openWindow();
    at.seconds = this.seconds();
    const gradients = Object.fromEntries(
      [...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad]])),
    );
    const state = optimizer.optimizer.stateDict();
    await writeCheckpoint(files.last, {
      ...this.averaged(),
      epoch: at.epoch,
      map50: at.best.map50,
      map: at.best.map,
      training: {
        state: {
          ...structuredClone(at),
          rollbacks: run.rollbacks,
          emaUpdates: run.ema.updates,
          scaler: scaler.stateDict() as Record<string, number>,
          optimizer: { param_groups: [], scalars: {} },
          random: randomStates(run.device),
          files: files.positions(),
          threads: getNumThreads(),
          settings: { ...run.settings },
          precision: run.planned,
          saveDir: run.saveDir,
          finished: this.finished,
        },
        live: model.stateDict(),
        optimizer: state,
        gradients,
        ...(window ? { window } : {}),
      },
    });
    this.saved = files.last;
  }
}

/** Losses by name, in the loss's own order. */
function named(names: readonly string[], losses: readonly number[]): Losses {
  return Object.fromEntries(names.map((name, i) => [name, losses[i] ?? 0]));
}
