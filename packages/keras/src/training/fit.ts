import { noGrad, scope, TrainingStep } from '@mezzo/torch';
import type { Callback } from '../callbacks/callback.ts';
import { checkOptions, KerasError } from '../errors.ts';
import { anyBatch } from '../graph/shape.ts';
import { type Mean, type Metric, readMetrics } from '../metrics/index.ts';
import type { Model } from '../models/model.ts';
import { type ClassWeight, withClassWeight } from './class-weight.ts';
import { type Arrays, arraysOf, checkFinite, type Data, onDevice, splitOff } from './data.ts';
import { addTo, arraysIn, measure, PROGRESS, SAMPLES, type SamplesOptions, yieldToLoop } from './evaluate.ts';
import { History } from './history.ts';
import { Progress, type ProgressOptions } from './progress.ts';
import { given, outputShapeFor } from './shapes.ts';
import { arraySource, type DataBatch, type DataSet, dataSetSource, type Source } from './source.ts';

export interface FitOptions extends SamplesOptions, ProgressOptions {
  /** Number of the last epoch; default 1. */
  epochs?: number;
  /** Epochs that were done already; default 0. */
  initialEpoch?: number;
  /** Another order in each epoch; default true. Not with `data`. */
  shuffle?: boolean;
  /** Share of the samples, taken from their end, that is kept for validation. */
  validationSplit?: number;
  /** [x, y] or [x, y, sampleWeight], or an object that gives such batches. */
  validationData?: readonly [x: Data | readonly Data[], y?: Data, sampleWeight?: Data] | { data: DataSet };
  classWeight?: ClassWeight;
  callbacks?: readonly Callback[];
  /** Ends training with the signal's reason, between two steps. */
  signal?: AbortSignal;
}

const OPTIONS = [
  ...SAMPLES,
  ...PROGRESS,
  'epochs',
  'initialEpoch',
  'shuffle',
  'validationSplit',
  'validationData',
  'classWeight',
  'callbacks',
  'signal',
] as const;

/**
 * Trains for `epochs`. Each step is a transaction: where a gradient, the loss or a moving average overflows, weights,
 * optimizer, averages and the epoch's means stay as they were, and the loss scale backs off.
 * @throws KerasError NOT_READY before `compile`; BAD_DATA, SHAPE_MISMATCH, BAD_OPTION, UNKNOWN_ID
 */
export async function fit(model: Model, options: FitOptions): Promise<History> {
  checkOptions('fit', options, OPTIONS);
  const { epochs = 1, initialEpoch = 0, callbacks = [], signal } = options;
  const { training, validation } = sources(model, options);
  const progress = new Progress(options, training.steps);
  const history = new History();
  const trainer = new Trainer(model, history);
  const wantsBatches = callbacks.some((callback) => callback.onTrainBatchEnd !== undefined);
  for (const callback of callbacks)
    Object.assign(callback, { model, params: { epochs, steps: training.steps } });
  model.stopTraining = false;

  let logs: Record<string, number> = {};
  for (const callback of callbacks) await callback.onTrainBegin?.();
  for (let epoch = initialEpoch; epoch < epochs && !model.stopTraining; epoch += 1) {
    progress.begin(`Epoch ${epoch + 1}/${epochs}`);
    for (const callback of callbacks) await callback.onEpochBegin?.(epoch);
    trainer.resetMeasures();
    let batches = 0;
    for await (const batch of training.batches()) {
      signal?.throwIfAborted();
      for (const callback of callbacks) await callback.onTrainBatchBegin?.(batches);
      trainer.step(batch);
      if (wantsBatches) {
        const read = trainer.logs();
        for (const callback of callbacks) await callback.onTrainBatchEnd?.(batches, read);
      }
      batches += 1;
      progress.batch(batches, () => trainer.logs());
      await yieldToLoop();
      if (model.stopTraining) break;
    }
    if (batches === 0) {
      throw new KerasError(
        'BAD_DATA',
        `data: no batches in epoch ${epoch + 1}`,
        'give something that can be gone through again',
      );
    }
    trainer.finish();
    logs = trainer.logs();
    if (validation !== null) {
      const { logs: found } = await measure(model, validation);
      for (const [name, value] of Object.entries(found)) logs[`val_${name}`] = value;
    }
    history.add(epoch, logs);
    progress.end(batches, logs);
    for (const callback of callbacks) await callback.onEpochEnd?.(epoch, logs);
  }
  for (const callback of callbacks) await callback.onTrainEnd?.(logs);
  return history;
}

/** The transaction around a model, and what is measured in it. */
class Trainer {
  readonly #model: Model;
  readonly #history: History;
  /** Steps of this epoch that were applied, as far as the device has told. */
  #applied = 0;
  #open: { step: TrainingStep; measures: readonly [loss: Mean, ...metrics: Metric[]] } | null = null;

  constructor(model: Model, history: History) {
    this.#model = model;
    this.#history = history;
  }

  step(batch: Arrays): void {
    const model = this.#model;
    this.#open ??= this.#begin(batch);
    const { step, measures } = this.#open;
    const [lossMean, ...metrics] = measures;
    scope(() => {
      const { x, y, weight } = onDevice(batch, model.device);
      step.run(() => {
        const yPred = model.call(given(x), { training: true });
        const loss = model.compiled.lossOf(y, yPred, weight);
        noGrad(() => {
          lossMean.add(loss.detach(), yPred.size(0));
          addTo(metrics, y, yPred.detach(), weight);
        });
        return loss;
      });
    });
  }

  /** Shapes are known with the first batch: the model is built, and its variables go to the optimizer. */
  #begin(batch: Arrays) {
    const { compiled } = this.#model;
    const output = outputShapeFor(this.#model, batch.x);
    const measures = compiled.measures(batch.y === null ? [] : anyBatch(batch.y.shape), output);
    for (const each of measures) each.resetState();
    const step = new TrainingStep({
      model: this.#model,
      optimizers: compiled.inTransaction(),
      scaler: compiled.scaler,
      state: measures.flatMap((each) => each.variables),
    });
    step.onWindow(({ applied }) => {
      if (applied) this.#applied += 1;
      else this.#history.skippedSteps += 1;
    });
    return { step, measures };
  }

  resetMeasures(): void {
    this.#applied = 0;
    for (const each of this.#open?.measures ?? []) each.resetState();
  }

  finish(): void {
    this.#open?.step.flush();
  }

  /** Means over the epoch's applied steps; NaN, not 0, when there were none. */
  logs(): Record<string, number> {
    const logs = readMetrics(this.#open?.measures ?? []);
    if (this.#applied === 0) for (const name of Object.keys(logs)) logs[name] = Number.NaN;
    return logs;
  }
}

function sources(model: Model, options: FitOptions): { training: Source; validation: Source | null } {
  const { batchSize = 32, shuffle = true, validationSplit, validationData, classWeight, data } = options;
  if (validationSplit !== undefined && validationData !== undefined) {
    throw new KerasError('BAD_OPTION', 'fit: give validationSplit or validationData, not both');
  }
  const arrays = arraysIn(model, 'fit', options);
  if (arrays === null) {
    const arraysOnly = (['validationSplit', 'classWeight', 'shuffle'] as const).filter(
      (name) => options[name] !== undefined,
    );
    if (arraysOnly.length > 0) {
      throw new KerasError(
        'BAD_OPTION',
        `fit: ${arraysOnly.join(', ')} needs the samples as x and y, not as data`,
      );
    }
    return {
      training: dataSetSource(data!, model.takesList),
      validation: validating(model, validationData, batchSize),
    };
  }
  const [rest, last] = validationSplit === undefined ? [arrays, null] : splitOff(arrays, validationSplit);
  const weighted = classWeight === undefined ? rest : withClassWeight(rest, classWeight);
  return {
    training: arraySource(weighted, batchSize, shuffle),
    validation:
      last === null ? validating(model, validationData, batchSize) : arraySource(last, batchSize, false),
  };
}

function validating(model: Model, data: FitOptions['validationData'], batchSize: number): Source | null {
  if (data === undefined) return null;
  if ('data' in data) return dataSetSource(data.data, model.takesList);
  const [x, y = null, weight = null] = data as DataBatch;
  const arrays = arraysOf(x, y, weight, model.takesList);
  checkFinite(arrays, true);
  return arraySource(arrays, batchSize, false);
}
