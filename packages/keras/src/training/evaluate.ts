import { noGrad, scope, type Tensor } from '@mezzo/torch';
import { checkOptions, KerasError } from '../errors.ts';
import { anyBatch } from '../graph/shape.ts';
import { type Metric, readMetrics } from '../metrics/index.ts';
import type { Model } from '../models/model.ts';
import { type Arrays, arraysOf, checkFinite, type Data, onDevice } from './data.ts';
import { Progress, type ProgressOptions } from './progress.ts';
import { given, outputShapeFor } from './shapes.ts';
import { arraySource, type DataSet, dataSetSource, type Source } from './source.ts';

/** Samples: arrays, or `data` that gives batches. */
export interface SamplesOptions {
  /** Samples along the first axis; a list of them for a model of several inputs. */
  x?: Data | readonly Data[];
  y?: Data | null;
  /** A weight a sample. */
  sampleWeight?: Data | null;
  /** Batches [x, y] or [x, y, sampleWeight], instead of arrays. */
  data?: DataSet;
  /** Default 32; not with `data`. */
  batchSize?: number;
}

export interface EvaluateOptions extends SamplesOptions, ProgressOptions {}

export const SAMPLES = ['x', 'y', 'sampleWeight', 'data', 'batchSize'] as const;
export const PROGRESS = ['verbose', 'writer'] as const;

/** The samples as arrays, checked; null for `data`. @throws KerasError BAD_OPTION, BAD_DATA */
export function arraysIn(model: Model, caller: string, options: SamplesOptions): Arrays | null {
  const { x, y = null, sampleWeight = null, data } = options;
  if ((x === undefined) === (data === undefined)) {
    throw new KerasError('BAD_OPTION', `${caller}: give the samples as x (and y), or as data`);
  }
  if (x === undefined) {
    const beside = ['y', 'sampleWeight', 'batchSize'].filter((name) => name in options);
    if (beside.length === 0) return null;
    throw new KerasError(
      'BAD_OPTION',
      `${caller}: ${beside.join(', ')} cannot go with data, whose batches hold it`,
    );
  }
  const arrays = arraysOf(x, y, sampleWeight, model.takesList);
  checkFinite(arrays, true);
  return arrays;
}

export async function evaluate(model: Model, options: EvaluateOptions): Promise<Record<string, number>> {
  checkOptions('evaluate', options, [...SAMPLES, ...PROGRESS]);
  const arrays = arraysIn(model, 'evaluate', options);
  const source =
    arrays === null
      ? dataSetSource(options.data!, model.takesList)
      : arraySource(arrays, options.batchSize ?? 32, false);
  const progress = new Progress(options, source.steps);
  progress.begin(null);
  const { logs, batches } = await measure(model, source, (done, read) => progress.batch(done, read));
  progress.end(batches, logs);
  return logs;
}

type Logs = Record<string, number>;

/** Loss and metrics over a source, without training. */
export async function measure(
  model: Model,
  source: Source,
  onBatch: (done: number, read: () => Logs) => void = () => {},
): Promise<{ logs: Logs; batches: number }> {
  const { compiled } = model;
  let measures: ReturnType<typeof compiled.measures> | null = null;
  let batches = 0;
  for await (const batch of source.batches()) {
    if (measures === null) {
      measures = compiled.measures(
        batch.y === null ? [] : anyBatch(batch.y.shape),
        outputShapeFor(model, batch.x),
      );
      for (const each of measures) each.resetState();
    }
    const [loss, ...metrics] = measures;
    noGrad(() =>
      scope(() => {
        const { x, y, weight } = onDevice(batch, model.device);
        const yPred = model.call(given(x), { training: false });
        loss.add(compiled.lossOf(y, yPred, weight), yPred.size(0));
        addTo(metrics, y, yPred, weight);
      }),
    );
    batches += 1;
    const read = measures;
    onBatch(batches, () => readMetrics(read));
    await yieldToLoop();
  }
  if (measures === null) throw new KerasError('BAD_DATA', 'data: there are no batches');
  return { logs: readMetrics(measures), batches };
}

export function addTo(
  metrics: readonly Metric[],
  y: Tensor | null,
  yPred: Tensor,
  weight: Tensor | null,
): void {
  if (metrics.length === 0) return;
  if (y === null) throw new KerasError('NOT_READY', 'metrics need the targets y');
  for (const metric of metrics) metric.updateState(y, yPred, weight);
}

/** Lets what else the program does have its turn. */
export const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
