import path from 'node:path';
import {
  applyPlan,
  atLayer,
  type Explanation,
  explain,
  explanationJson,
  explanationPage,
  type PlanLookup,
} from '@mezzo/precision';
import { autocast, manualSeed, writeFileAtomically } from '@mezzo/torch';
import { ConfigError, type ExplainOptions, resolveSettings } from '../config/index.ts';
import { type DeviceName, selectDevice } from '../engine/device.ts';
import { modalitiesOf, shownTo, withFusion } from '../engine/dual-source.ts';
import type { TrainEvent } from '../engine/event.ts';
import { largestStride, wholeStrides } from '../engine/image-size.ts';
import { toInput } from '../engine/images.ts';
import { type ModelSource, makeTrainable, ownChannels } from '../engine/model-source.ts';
import type { RunPrecision } from '../engine/precision.ts';
import { freezeLayers } from '../engine/prepare.ts';
import { useComputeThreads } from '../engine/threads.ts';
import type { Criterion } from '../loss/criterion.ts';
import { lossOf } from '../loss/loss-of.ts';
import type { DetectionModel } from '../models/build.ts';
import type { HeadMaps } from '../models/decode.ts';
import { realBatch } from './check-batch.ts';
import { dataOf, openData } from './check-detector.ts';
import { planPrecision } from './plan.ts';
import type { CheckBatch } from './preflight.ts';
import { syntheticBatch } from './synthetic-batch.ts';

/** A detector and what one of its training steps runs with. */
export interface DetectorStep {
  readonly model: DetectionModel;
  readonly loss: Criterion;
  readonly device: DeviceName;
  readonly precision: Pick<RunPrecision, 'dtype' | 'channelsLast'>;
  readonly batch: CheckBatch;
  /** Loss scale of the backward pass. */
  readonly scale: number;
  readonly gradients?: boolean;
  readonly plan?: PlanLookup;
}

/** Explains one training step of a detector, its loss included, which appears as the layer 'loss'. */
export function explainStep(step: DetectorStep): Explanation {
  const { model, loss, device, precision, batch, scale, gradients = false, plan } = step;
  return explain({
    model,
    precision: { device, dtype: precision.dtype },
    scale,
    gradients,
    ...(plan === undefined ? {} : { plan }),
    run: (region) => {
      const dtype = region.enabled === false ? 'float32' : precision.dtype;
      const input = atLayer('input', () => toInput(batch.images, device, { ...precision, dtype }));
      const maps = autocast(region, () => model.forward(input)) as HeadMaps;
      return atLayer('loss', () => loss.forward(maps, batch.rows).total);
    },
  });
}

/** What `out` may be written as, by its ending. */
const WRITERS: Readonly<Record<string, (explanation: Explanation, title: string) => string>> = {
  '.html': explanationPage,
  '.json': (explanation) => `${explanationJson(explanation)}\n`,
};

/**
 * Explains a detector from the options of `mezzo explain`: on pictures of the data set, or on made-up ones, in the mode
 * and with the plan of a training. With `out` the explanation is written there too.
 * @throws {MezzoError} by its code: bad options, bad data, a plan for other layers, a folder that cannot be written to
 */
export async function explainDetector(
  given: ModelSource,
  options: ExplainOptions,
  emit: (event: TrainEvent) => void,
): Promise<Explanation> {
  const settings = resolveSettings('explain', options);
  const { source } = withFusion(given, settings);
  const shown = shownTo(modalitiesOf(source), settings);
  const write = writerOf(settings.out);
  const device = selectDevice(settings.device);
  const { precision, plan } = await planPrecision(settings, device);
  if (precision.warning) emit({ event: 'message', level: 'warning', text: precision.warning });
  const data = settings.data === null ? null : await openData(settings.data, settings, shown);
  useComputeThreads();
  manualSeed(settings.seed);
  const { model } = await makeTrainable(source, await dataOf(source, data, ownChannels(source)), settings);
  model.to({ device, ...(precision.channelsLast ? { memoryFormat: 'channels_last' as const } : {}) }).train();
  const imgsz = wholeStrides(settings.imgsz, largestStride(model));
  for (const layer of freezeLayers(model, settings.freeze)) model.model.at(layer).eval();
  const { batch: size, workers, gradients } = settings;
  const batch =
    data === null
      ? syntheticBatch(size, model.ch, imgsz, model.nc)
      : await realBatch({ ...data, batch: size, imgsz, channels: model.ch, device, workers });
  const loss = lossOf(model, { ...settings, imgsz });
  const scale = precision.scaler ? (settings.init_scale ?? DEFAULT_SCALE) : 1;
  const applied = applyPlan(model, plan);
  try {
    const explanation = explainStep({
      model,
      loss,
      device,
      precision,
      batch,
      scale,
      gradients,
      plan: applied,
    });
    write(explanation, `Precision of ${source.name}: batch ${size}, ${imgsz} px`);
    return explanation;
  } finally {
    applied.remove();
    batch.images.dispose();
  }
}

const DEFAULT_SCALE = 65536;

function writerOf(out: string | null): (explanation: Explanation, title: string) => void {
  if (out === null) return () => {};
  const text = WRITERS[path.extname(out).toLowerCase()];
  if (text === undefined) {
    throw new ConfigError('BAD_OPTION', `out=${out}: expected a name that ends in .html or .json`, {
      option: 'out',
    });
  }
  return (explanation, title) => writeFileAtomically(out, text(explanation, title));
}
