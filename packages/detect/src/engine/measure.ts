import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from '@mezzo/torch';
import { resolveSettings, type ValOptions } from '../config/index.ts';
import { readDataYaml } from '../data/data-yaml.ts';
import { listFaults, scanSplit } from '../data/scan.ts';
import { cocoStats } from '../metrics/coco.ts';
import {
  type CocoAnnotation,
  type CocoDetection,
  cocoImageId,
  toCocoAnnotations,
  toCocoDetections,
} from '../metrics/coco-format.ts';
import { VALIDATION_NMS } from '../metrics/nms.ts';
import type { DetectionModel } from '../models/build.ts';
import { openValBatches } from './batches.ts';
import { selectDevice } from './device.ts';
import { evaluate } from './evaluate.ts';
import type { TrainEvent } from './event.ts';
import { RunPictures } from './pictures.ts';
import { choosePrecision } from './precision.ts';
import { type DetectionReport, reportOf } from './report.ts';
import { createRunFolder, fileSystemError } from './run-folder.ts';
import { useComputeThreads } from './threads.ts';
import { targetsOf } from './validator.ts';

export interface MeasureRequest {
  model: DetectionModel;
  options: ValOptions;
  /** The data of the weights' own training, for when none is given. */
  trainedOn: string | null;
  emit: (event: TrainEvent) => void;
  signal?: AbortSignal;
}

/** Measures a detector on a split of a data set (`mezzo val`). */
export async function measure({
  model,
  options,
  trainedOn,
  emit,
  signal,
}: MeasureRequest): Promise<DetectionReport> {
  const settings = resolveSettings('val', options);
  const data = settings.data ?? trainedOn;
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
  const precision = choosePrecision(settings.half ? halfOf(device) : false, device, null);
  const set = await readDataYaml(data, { datasetsDir: settings.datasets_dir, splits: [settings.split] });
  const split = await scanSplit(set, settings.split, {
    strict: settings.strict,
    singleCls: settings.single_cls,
    ...(signal ? { signal } : {}),
  });
  if (split.report.skipped.length > 0) {
    const text = `${settings.split}: ${split.report.skipped.length} of ${split.report.found} images were skipped\n${listFaults(split.report.skipped)}`;
    emit({ event: 'message', level: 'warning', text });
  }
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
  model.to({ device, memoryFormat: precision.channelsLast ? 'channels_last' : 'contiguous' });
  const batches = openValBatches({
    split,
    imgsz: Math.ceil(settings.imgsz / 32) * 32,
    batch: settings.batch,
    rect: settings.rect,
    channels: set.channels,
    device,
    workers: settings.workers,
    strict: settings.strict,
    cacheRam: false,
    onSkip: ({ file, reason }) => emit({ event: 'message', level: 'warning', text: `${file}: ${reason}` }),
  });
  const writes = settings.plots || settings.save_json;
  const saveDir = writes ? createRunFolder('val', settings) : undefined;
  const collected = new CocoCollection();
  const pictures = new RunPictures(saveDir ?? '', split.names, settings.plots);
  const result = await evaluate({
    model,
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
    ...(settings.coco || settings.save_json ? { onImage: collected.add } : {}),
    ...(signal ? { signal } : {}),
  });
  await pictures.finish();
  if (settings.save_json) writeJson(path.join(saveDir!, 'predictions.json'), collected.detections);
  const coco = settings.coco ? collected.stats(split.names) : undefined;
  return reportOf(result, {
    ...(saveDir === undefined ? {} : { saveDir }),
    ...(coco ? { coco: { ...coco } } : {}),
  });
}

function halfOf(device: string): 'fp16' | 'bf16' {
  return device === 'cpu' ? 'bf16' : 'fp16';
}

function writeJson(file: string, value: unknown): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(value));
  } catch (error) {
    throw fileSystemError(error, file);
  }
}

/** Detections and ground truth of a validation in COCO's form. */
class CocoCollection {
  readonly detections: CocoDetection[] = [];
  private readonly annotations: CocoAnnotation[] = [];
  private readonly images: { id: number | string }[] = [];

  readonly add: NonNullable<Parameters<typeof evaluate>[0]['onImage']> = (image, detections) => {
    const id = cocoImageId(image.path);
    this.images.push({ id });
    this.detections.push(...toCocoDetections(id, detections));
    this.annotations.push(...toCocoAnnotations(id, targetsOf(image)));
  };

  stats(names: readonly string[]) {
    const categories = names.map((name, i) => ({ id: i + 1, name }));
    return cocoStats({ images: this.images, annotations: this.annotations, categories }, this.detections);
  }
}
