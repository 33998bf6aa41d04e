import { loadedAddon } from '@mezzo/libtorch';
import {
  applyPlan,
  cachedPreflight,
  type Finding,
  finding,
  type PreflightReport,
  preflight,
  preflightCacheFile,
  reportOf,
} from '@mezzo/precision';
import { MezzoError, manualSeed } from '@mezzo/torch';
import { type CheckOptions, type CheckSettings, resolveSettings } from '../config/index.ts';
import { COLOUR_CHANNELS, channelsFit } from '../data/channels.ts';
import { type DataSet, readDataYaml } from '../data/data-yaml.ts';
import { openSplit, type Shown } from '../data/pairs/open-split.ts';
import type { Split } from '../data/scan.ts';
import { autoBatch, isAutomatic, sizesOf } from '../engine/auto-batch.ts';
import { type DeviceName, selectDevice } from '../engine/device.ts';
import { dualChannels, modalitiesOf, shownTo, withFusion } from '../engine/dual-source.ts';
import type { TrainEvent } from '../engine/event.ts';
import { largestStride, wholeStrides } from '../engine/image-size.ts';
import { type ModelData, type ModelSource, makeTrainable, ownChannels } from '../engine/model-source.ts';
import type { RunPrecision } from '../engine/precision.ts';
import { freezeLayers } from '../engine/prepare.ts';
import { useComputeThreads } from '../engine/threads.ts';
import { lossOf } from '../loss/loss-of.ts';
import { resolveModel } from '../models/description.ts';
import { realBatch } from './check-batch.ts';
import { type ModalityRanges, modalityRanges } from './modality-ranges.ts';
import { planPrecision } from './plan.ts';
import { type CheckBatch, type DetectorParts, detectorSubject } from './preflight.ts';
import { syntheticBatch } from './synthetic-batch.ts';

export interface CheckRequest {
  source: ModelSource;
  options: CheckOptions;
  emit: (event: TrainEvent) => void;
}

/** What `mezzo check --json` prints. */
export interface DetectorReport extends PreflightReport {
  /** The verdict is an earlier one of the same model, settings and machine. */
  readonly cached: boolean;
  /** Why a cached verdict could not be used or kept. */
  readonly cacheNote: string | null;
  readonly model: { readonly name: string; readonly channels: number | null };
  /** null: made-up pictures. */
  readonly data: string | null;
  readonly imgsz: number;
  readonly batch: number;
  /** Of a network of several streams: ranges of each sensor and stream in the batch; else null. */
  readonly ranges: ModalityRanges | null;
  /** null where the device that was asked for is not there. */
  readonly device: string | null;
  readonly amp: { readonly dtype: string; readonly reason: string } | null;
}

/** Checks whether a detector may be trained in low precision, with the options of that training (`mezzo check`). */
export async function checkDetector({ source: given, options, emit }: CheckRequest): Promise<DetectorReport> {
  const settings = resolveSettings('check', options);
  const { source } = withFusion(given, settings);
  const shown = shownTo(modalitiesOf(source), settings);
  const about = {
    model: { name: source.name, channels: null },
    data: settings.data,
    imgsz: settings.imgsz,
    batch: settings.batch,
    device: null,
    amp: null,
    ranges: null,
  };
  const device = deviceOrFinding(settings);
  if (typeof device !== 'string') return { ...reportOf([device]), ...about, ...UNCACHED };
  const { precision, plan } = await planPrecision(settings, device);
  const chosen = { ...about, device, amp: { dtype: precision.dtype, reason: precision.reason } };
  if (precision.warning) emit({ event: 'message', level: 'warning', text: precision.warning });
  if (precision.dtype === 'float32') {
    return { ...reportOf([nothingToCheck(settings, precision)]), ...chosen, ...UNCACHED };
  }
  const data = settings.data === null ? null : await openData(settings.data, settings, shown);
  const own = dualChannels(source, settings) ?? ownChannels(source);
  const pictures = shown === 'pictures' ? data : null;
  if (
    pictures !== null &&
    source.kind === 'table' &&
    own !== null &&
    !channelsFit(own, pictures.set.channels)
  ) {
    return { ...reportOf([channelsDisagree(source, own, pictures.set)]), ...chosen, ...UNCACHED };
  }
  useComputeThreads();
  manualSeed(settings.seed);
  const { model } = await makeTrainable(source, await dataOf(source, data, own), settings);
  const imgsz = wholeStrides(settings.imgsz, largestStride(model));
  model.to({ device, ...(precision.channelsLast ? { memoryFormat: 'channels_last' as const } : {}) });
  const parts: DetectorParts = {
    model,
    loss: lossOf(model, { ...settings, imgsz }),
    device,
    precision,
    frozen: freezeLayers(model, settings.freeze),
    plan,
  };
  const size = chosenBatch(settings, parts, imgsz, data?.split ?? null, emit);
  const batch =
    data === null
      ? syntheticBatch(size, model.ch, imgsz, model.nc)
      : await realBatch({
          split: data.split,
          batch: size,
          imgsz,
          channels: model.ch,
          device,
          workers: settings.workers,
        });
  const outcome = checkParts(
    parts,
    batch,
    imgsz,
    data === null ? null : data.split.images.map(({ path }) => path),
  );
  const ranges = modalityRanges(model.train(), batch.images, device);
  batch.images.dispose();
  return {
    ...outcome,
    ...chosen,
    ranges,
    batch: size,
    imgsz,
    model: { name: source.name, channels: model.ch },
  };
}

/** The batch as a number, as a training with the same options would choose it; told if it was chosen. */
function chosenBatch(
  { batch: asked }: Pick<CheckSettings, 'batch'>,
  parts: DetectorParts,
  imgsz: number,
  split: Split | null,
  emit: (event: TrainEvent) => void,
): number {
  if (!isAutomatic(asked)) return asked;
  const sizes = split === null ? MADE_UP : sizesOf(split, DEFAULT_RECIPE, imgsz);
  const { batch, text } = autoBatch(asked, { ...parts, imgsz, ...sizes });
  emit({ event: 'message', level: 'info', text });
  return batch;
}

const DEFAULT_RECIPE = { mosaic: 1, multi_scale: 0 };
/** A mosaic's boxes of made-up pictures. */
const MADE_UP = { boxes: 16, images: Number.POSITIVE_INFINITY };

const UNCACHED = { cached: false, cacheNote: null } as const;

/** Checks a detector with one batch, or finds the verdict of an earlier check of the same. */
export function checkParts(
  parts: DetectorParts,
  batch: CheckBatch,
  imgsz: number,
  files: readonly string[] | null,
): PreflightReport & { cached: boolean; cacheNote: string | null } {
  const { model, device, precision, frozen, loss, plan } = parts;
  const file = preflightCacheFile({
    model,
    device,
    low: precision.dtype,
    imgsz,
    batch: batch.images.size(0),
    further: {
      files,
      rows: Array.from(batch.rows),
      channelsLast: precision.channelsLast,
      frozen,
      loss: loss.settings,
      plan: plan?.rules ?? [],
    },
  });
  const { report, cached, note } = cachedPreflight(file, () => {
    const applied = plan === undefined ? null : applyPlan(model, plan);
    try {
      const examined = preflight(detectorSubject(parts, batch));
      return batch.synthetic ? { ...examined, findings: [...examined.findings, madeUp()] } : examined;
    } finally {
      applied?.remove();
    }
  });
  return { ...report, cached, cacheNote: note ?? null };
}

const madeUp = (): Finding => finding('SYNTHETIC_DATA', 'checked with made-up pictures and boxes');

/** The device, or what is to be told when it is not there. */
function deviceOrFinding(settings: CheckSettings): DeviceName | Finding {
  try {
    return selectDevice(settings.device);
  } catch (error) {
    if (!(error instanceof MezzoError) || error.code !== 'NO_SUCH_DEVICE') throw error;
    return finding('NO_GPU', error.message, {
      ...(error.hint === undefined ? {} : { remedy: error.hint }),
      evidence: { device: settings.device, libtorch: loadedAddon()?.libtorch.version ?? null },
    });
  }
}

function nothingToCheck({ amp }: CheckSettings, { reason }: RunPrecision): Finding {
  const evidence = { amp, reason };
  if (amp !== true) {
    return finding('NOTHING_TO_CHECK', `amp=${String(amp)} trains in float32`, { evidence });
  }
  return finding('NO_LOW_PRECISION', `amp=true means float32 here: ${reason}`, {
    remedy: 'train as you are: float32 it will be; amp=bf16 and amp=fp16 work, emulated and slow',
    evidence,
  });
}

/** The training split of a data.yaml. */
export async function openData(
  file: string,
  settings: Pick<CheckSettings, 'datasets_dir' | 'strict' | 'single_cls'>,
  shown: Shown,
): Promise<{ set: DataSet; split: Split }> {
  const set = await readDataYaml(file, { datasetsDir: settings.datasets_dir, splits: ['train'] });
  const { strict, single_cls: singleCls } = settings;
  const { split } = await openSplit(set, 'train', shown, { strict, singleCls });
  return { set, split };
}

function channelsDisagree(source: ModelSource, expected: number, { file, channels }: DataSet): Finding {
  const given = channels ?? COLOUR_CHANNELS;
  const plural = expected === 1 ? '' : 's';
  return finding(
    'CHANNELS_DISAGREE',
    `model.0.conv of ${source.name} takes ${expected} channel${plural}, ${file} has ${given}`,
    { evidence: { layer: 'model.0.conv', expected, given } },
  );
}

/** What the network is built for: the data, or in their absence what the model itself says. */
export async function dataOf(
  source: ModelSource,
  data: { set: DataSet; split: Split } | null,
  own: number | null,
): Promise<ModelData> {
  const file = source.name;
  if (data !== null) return { ...data.set, names: data.split.names };
  if (source.kind === 'weights') return { file, names: source.contents.identity.names, channels: own };
  const { nc, ch } = resolveModel(source.table, { name: source.name });
  return { file, names: Array.from({ length: nc }, (_, i) => String(i)), channels: ch };
}
