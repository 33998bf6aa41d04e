import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from '@mezzo/torch';
import type { Modality } from '../augment/pair-draw.ts';
import { ConfigError, resolveSettings, type ValOptions, type ValSettings } from '../config/index.ts';
import { networkChannels } from '../data/channels.ts';
import { readDataYaml } from '../data/data-yaml.ts';
import { openSplit, type Shown, shownOf } from '../data/pairs/open-split.ts';
import { VALIDATION_NMS } from '../metrics/nms.ts';
import type { DetectionModel } from '../models/build.ts';
import type { InferenceCopy } from '../models/inference-copy.ts';
import { openValBatches } from './batches.ts';
import { CocoResults } from './coco-results.ts';
import { selectDevice } from './device.ts';
import { shownTo } from './dual-source.ts';
import { evaluate } from './evaluate.ts';
import type { TrainEvent } from './event.ts';
import { largestStride, wholeStrides } from './image-size.ts';
import { RunPictures } from './pictures.ts';
import { inferencePrecision } from './precision.ts';
import { type DetectionReport, reportOf } from './report.ts';
import { createRunFolder, fileSystemError } from './run-folder.ts';
import { useComputeThreads } from './threads.ts';

export interface MeasureRequest {
  model: DetectionModel;
  inference: InferenceCopy;
  options: ValOptions;
  /** The data of the weights' own training, for when none is given, and the sensor that they saw of it. */
  trainedOn: { readonly data: string | null; readonly modality: Modality | null };
  emit: (event: TrainEvent) => void;
  signal?: AbortSignal;
}

/** Measures a detector on a split of a data set (`mezzo val`). */
export async function measure({
  model,
  inference,
  options,
  trainedOn,
  emit,
  signal,
}: MeasureRequest): Promise<DetectionReport> {
  const settings = resolveSettings('val', options);
  const data = settings.data ?? trainedOn.data;
  if (data === null) {
    throw new MezzoError(
      'NO_DATA',
      'no data set was given, and the weights do not say which they were trained on',
      {
        hint: 'data= names the data.yaml',
      },
    );
  }
  const device = selectDevice(settings.device);
  const precision = inferencePrecision(settings.half, device);
  if (precision.warning) emit({ event: 'message', level: 'warning', text: precision.warning });
  const set = await readDataYaml(data, { datasetsDir: settings.datasets_dir, splits: [settings.split] });
  const { modalities } = model.description.table;
  const { modality } = trainedOn;
  const shown =
    modalities === undefined && settings.modality === null && modality !== null
      ? await shownOf(set, settings.split, modality)
      : shownTo(modalities, settings);
  const { split, warnings } = await openSplit(set, settings.split, shown, {
    strict: settings.strict,
    singleCls: settings.single_cls,
    ...(signal ? { signal } : {}),
  });
  for (const text of warnings) emit({ event: 'message', level: 'warning', text });
  if (split.names.length !== model.nc) {
    throw new MezzoError(
      'CLASS_COUNT',
      `the weights know ${model.nc} classes, ${set.file} has ${split.names.length}`,
      {
        hint: 'give the data set that the weights were trained on, or train on this one first',
      },
    );
  }
  useComputeThreads();
  const network = inference.of(model);
  network.to({ device, memoryFormat: precision.channelsLast ? 'channels_last' : 'contiguous' });
  const stride = largestStride(network);
  const batches = openValBatches({
    split,
    imgsz: wholeStrides(settings.imgsz, stride),
    stride,
    batch: settings.batch,
    rect: settings.rect,
    channels: shown === 'pictures' || shown === 'thermal' ? networkChannels(model.ch, set) : model.ch,
    device,
    workers: settings.workers,
    strict: settings.strict,
    cacheRam: false,
    missing: missingFrom(shown, settings),
    onSkip: ({ file, reason }) => emit({ event: 'message', level: 'warning', text: `${file}: ${reason}` }),
  });
  const writes = settings.plots || settings.save_json;
  const saveDir = writes ? createRunFolder('val', settings) : undefined;
  const collected =
    settings.coco || settings.save_json ? await CocoResults.of(set, split, settings.single_cls) : null;
  const pictures = new RunPictures(saveDir ?? '', split.names, settings.plots);
  const result = await evaluate({
    model: network,
    batches,
    device,
    precision,
    nms: {
      ...VALIDATION_NMS,
      conf: settings.conf,
      iou: settings.iou,
      maxDet: settings.max_det,
      agnostic: settings.agnostic_nms,
    },
    rules: { match: settings.match, apEnd: settings.ap_end, fitness: 'map', edges: settings.edges },
    boxGain: settings.box_gain,
    names: split.names,
    pictures,
    folder: settings.plots ? saveDir! : null,
    onBatch: (step) => emit({ event: 'valStep', step, steps: batches.batches }),
    ...(collected ? { onImage: collected.add } : {}),
    ...(signal ? { signal } : {}),
  });
  await pictures.finish();
  const coco = settings.coco ? collected?.stats() : undefined;
  const report = reportOf(result, {
    ...(saveDir === undefined ? {} : { saveDir }),
    ...(coco ? { coco: { ...coco } } : {}),
  });
  if (settings.save_json && collected) {
    writeJson(path.join(saveDir!, 'predictions.json'), collected.detections);
    writeJson(path.join(saveDir!, 'metrics.json'), report.summary());
  }
  return report;
}

/** @throws {ConfigError} BAD_OPTION for pictures of one sensor */
function missingFrom(shown: Shown, { missing }: ValSettings): Modality | null {
  if (missing === null || shown === 'pairs') return missing;
  throw new ConfigError('BAD_OPTION', `missing=${missing}: the network has one stream and takes no pairs`, {
    option: 'missing',
  });
}

function writeJson(file: string, value: unknown): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(value));
  } catch (error) {
    throw fileSystemError(error, file);
  }
}
