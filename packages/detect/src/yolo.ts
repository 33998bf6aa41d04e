import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Explanation } from '@mezzo/precision';
import { Tensor } from '@mezzo/torch';
import type { Modality } from './augment/pair-draw.ts';
import {
  type CheckOptions,
  ConfigError,
  type ExplainOptions,
  type ExportOptions,
  type PredictOptions,
  type PredictSettings,
  resolveSettings,
  type TrainOptions,
  type ValOptions,
} from './config/index.ts';
import { selectDevice } from './engine/device.ts';
import { modalitiesOf } from './engine/dual-source.ts';
import type { TrainEvent } from './engine/event.ts';
import { largestStride, wholeStrides } from './engine/image-size.ts';
import { measure } from './engine/measure.ts';
import { decodingOf, type ModelSource, makeEvaluable, openModel } from './engine/model-source.ts';
import { inferencePrecision } from './engine/precision.ts';
import type { DetectionReport } from './engine/report.ts';
import { createRunFolder } from './engine/run-folder.ts';
import { useComputeThreads } from './engine/threads.ts';
import { trainDetector } from './engine/train-detector.ts';
import { type ExportReport, exportDetector } from './export/index.ts';
import { PREDICTION_NMS } from './metrics/nms.ts';
import type { DetectionModel } from './models/build.ts';
import { InferenceCopy } from './models/inference-copy.ts';
import { type ModelProfile, profileModel } from './models/profile.ts';
import { checkDetector, type DetectorReport } from './precision/check-detector.ts';
import { explainDetector } from './precision/explain.ts';
import { listPairs } from './predict/pair-sources.ts';
import { type PredictImage, Predictor } from './predict/predictor.ts';
import type { Results } from './predict/results.ts';
import { listSources } from './predict/sources.ts';
import { tensorImages } from './predict/tensor-image.ts';
import { ranksHere } from './ranks/join.ts';

/** What every call of {@link YOLO} takes beside the options of the command of the same name. */
export interface CallHooks {
  /** Called with everything that happens, in order. */
  onEvent?: (event: TrainEvent) => void;
  /** Stops the call; a training saves a checkpoint first and throws INTERRUPTED. */
  signal?: AbortSignal;
}

/** What `predict` and `stream` look at: paths, folders and patterns, encoded bytes, pixels, tensors, or several. */
export type PredictSource =
  | PredictImage
  | Tensor
  | readonly string[]
  | Iterable<PredictImage | Tensor>
  | AsyncIterable<PredictImage | Tensor>;

/** Results of one image, and where its picture was written. */
export type Prediction = Results & { saveDir?: string };

type EventName = TrainEvent['event'];

/**
 * A detector: load it by name or from a file, train it, measure it, look for objects with it.
 *
 * ```ts
 * const model = await YOLO.load('yolov8n');
 * await model.train({ data: 'shapes.yaml', epochs: 100, imgsz: 640 });
 * const results = await model.predict('bus.jpg');
 * ```
 */
export class YOLO {
  private source: ModelSource;
  private network: DetectionModel | undefined;
  private readonly inference = new InferenceCopy();
  private readonly events = new EventEmitter();

  private constructor(source: ModelSource) {
    this.source = source;
  }

  /**
   * Opens a published model from scratch (`yolov8n`), a .yaml description, or .safetensors or .pt weights; null is yolov8n.
   * @throws {MezzoError} NO_SUCH_MODEL, UNKNOWN_MODEL, BAD_MODEL, NOT_A_CHECKPOINT, UNSUPPORTED_WEIGHTS, PT_…
   */
  static async load(model: string | null): Promise<YOLO> {
    return new YOLO(await openModel(model));
  }

  get name(): string {
    return this.source.name;
  }

  /** Class names by id. */
  get names(): readonly string[] {
    return this.model.names;
  }

  /** Channels of each sensor, of a network of several streams; null for one that takes pictures of one sensor. */
  get modalities(): Readonly<Record<string, number>> | null {
    return modalitiesOf(this.source) ?? null;
  }

  /** The network, built when first needed. */
  get model(): DetectionModel {
    this.network ??= makeEvaluable(this.source);
    return this.network;
  }

  /** Parameters, layers and convolution work for one image of `imgsz` pixels. */
  info(imgsz = 640): ModelProfile {
    return profileModel(this.model, imgsz);
  }

  /**
   * Folds every BatchNorm into its convolution, for good. `predict` and `val` do so with a copy of their own; this is for
   * whoever calls `model` and will not train it.
   */
  fuse(): this {
    this.network = this.model.fused();
    return this;
  }

  /** Calls `listener` with every event of a kind, of any later call. */
  on<N extends EventName>(name: N, listener: (event: Extract<TrainEvent, { event: N }>) => void): this {
    this.events.on(name, listener);
    return this;
  }

  /**
   * Trains on a data set; afterwards this detector has the best weights. Options are those of `mezzo train`.
   * @throws {MezzoError} by its code: bad options, bad data, INTERRUPTED, OUT_OF_MEMORY, …
   */
  async train({ onEvent, signal, ...options }: TrainOptions & CallHooks): Promise<DetectionReport> {
    const emit = this.emitter(onEvent);
    const report = await trainDetector({ source: this.source, options, emit, ...(signal ? { signal } : {}) });
    const best = path.join(report.saveDir!, 'weights', 'best.safetensors');
    // Ranks on other hosts have the file where the folder is a shared one.
    if (options.save !== false && (ranksHere().rank === 0 || existsSync(best))) {
      this.source = await openModel(best);
      this.network = undefined;
    }
    return report;
  }

  /** Measures precision, recall and mAP on a split. Options are those of `mezzo val`. */
  async val({ onEvent, signal, ...options }: ValOptions & CallHooks = {}): Promise<DetectionReport> {
    return measure({
      model: this.model,
      inference: this.inference,
      options,
      trainedOn: this.trainedOn(),
      emit: this.emitter(onEvent),
      ...(signal ? { signal } : {}),
    });
  }

  /**
   * Explains the precision of one training step, layer by layer: dtypes, why, casts, cost. Options are those of
   * `mezzo explain`. Without `data` the pictures are made up.
   */
  async explain({ onEvent, ...options }: ExplainOptions & CallHooks = {}): Promise<Explanation> {
    return explainDetector(this.source, options, this.emitter(onEvent));
  }

  /**
   * Tries on one batch whether a training would be sound in mixed precision on this machine; changes nothing. Options
   * are those of `mezzo check`. Without `data` the pictures are made up.
   */
  async check({ onEvent, signal: _, ...options }: CheckOptions & CallHooks = {}): Promise<DetectorReport> {
    return checkDetector({ source: this.source, options, emit: this.emitter(onEvent) });
  }

  /**
   * Writes this detector as ONNX, checked with onnxruntime where that is installed, or as plain safetensors weights.
   * Options are those of `mezzo export`. A failure writes nothing.
   * @throws {MezzoError} bad options, HALF_RANGE, UNSUPPORTED_EXPORT, EXPORT_MISMATCH, WRITE_FAILED
   */
  async export({ onEvent: _, signal, ...options }: ExportOptions & CallHooks = {}): Promise<ExportReport> {
    signal?.throwIfAborted();
    return exportDetector(this.source, () => this.model, options);
  }

  /** Finds objects in all images of a source. Nothing is written unless `save` asks for it. */
  async predict(source: PredictSource, options: PredictOptions & CallHooks = {}): Promise<Prediction[]> {
    const results: Prediction[] = [];
    for await (const result of this.stream(source, { save: false, ...options })) results.push(result);
    return results;
  }

  /** As {@link predict}, one result at a time: for sources larger than memory. */
  async *stream(
    source: PredictSource,
    { signal, onEvent, ...options }: PredictOptions & CallHooks = {},
  ): AsyncGenerator<Prediction> {
    const settings = resolveSettings('predict', options);
    const emit = this.emitter(onEvent);
    const images = await this.imagesOf(source, settings, emit);
    const device = selectDevice(settings.device);
    const precision = inferencePrecision(settings.half, device);
    if (precision.warning) emit({ event: 'message', level: 'warning', text: precision.warning });
    useComputeThreads();
    const network = this.inference.of(this.model);
    network.to({ device, memoryFormat: precision.channelsLast ? 'channels_last' : 'contiguous' });
    const predictor = new Predictor({
      model: network,
      device,
      precision,
      imgsz: wholeStrides(settings.imgsz, largestStride(network)),
      batch: settings.batch,
      nms: {
        ...PREDICTION_NMS,
        conf: settings.conf,
        iou: settings.iou,
        maxDet: settings.max_det,
        agnostic: settings.agnostic_nms,
        ...(settings.classes === null ? {} : { classes: settings.classes }),
      },
      boxGain: settings.box_gain,
      decoding: decodingOf(this.source),
    });
    const writes = settings.save || settings.save_txt || settings.save_crop;
    const saveDir = writes ? createRunFolder('predict', settings) : undefined;
    for await (const result of predictor.run(images)) {
      signal?.throwIfAborted();
      if (saveDir !== undefined) await write(result, saveDir, settings);
      yield Object.assign(result, saveDir === undefined ? {} : { saveDir });
    }
  }

  /** @throws {ConfigError} BAD_OPTION for infrared pictures, given to a network of one stream */
  private async imagesOf(
    source: PredictSource,
    { source_ir: infrared }: PredictSettings,
    emit: (event: TrainEvent) => void,
  ): Promise<AsyncIterable<PredictImage> | readonly PredictImage[]> {
    const named = typeof source === 'string' || isPaths(source);
    if (this.modalities === null) {
      if (infrared === null) return imagesOf(source, this.model.ch);
      throw new ConfigError('BAD_OPTION', `source_ir=${infrared}: ${this.name} is a network of one stream`, {
        option: 'source_ir',
        hint: 'mezzo train-dual trains networks of two',
      });
    }
    if (!named) return imagesOf(source, this.model.ch);
    const visible = typeof source === 'string' || source.length > 0 ? source : null;
    const { pairs, notes } = await listPairs(visible, infrared);
    for (const text of notes) emit({ event: 'message', level: 'warning', text });
    return pairs;
  }

  private emitter(onEvent: ((event: TrainEvent) => void) | undefined): (event: TrainEvent) => void {
    return (event) => {
      onEvent?.(event);
      this.events.emit(event.event, event);
    };
  }

  private trainedOn(): { data: string | null; modality: Modality | null } {
    if (this.source.kind !== 'weights') return { data: null, modality: null };
    const { data, modality = null } = this.source.contents;
    return { data: typeof data === 'string' ? data : null, modality };
  }
}

const isPaths = (source: PredictSource): source is readonly string[] =>
  Array.isArray(source) && source.every((entry) => typeof entry === 'string');

async function* imagesOf(source: PredictSource, channels: number): AsyncGenerator<PredictImage> {
  if (typeof source === 'string') yield* await listSources(source);
  else if (source instanceof Tensor) yield* tensorImages(source, channels);
  else if (source instanceof Uint8Array || 'data' in source || 'infrared' in source) yield source;
  else if (isPaths(source)) yield* await listSources(source);
  else {
    for await (const entry of source as AsyncIterable<PredictImage | Tensor>)
      yield* imagesOf(entry, channels);
  }
}

async function write(result: Results, folder: string, settings: PredictSettings): Promise<void> {
  const { name, base } = path.parse(result.path);
  if (settings.save) {
    await result.save(path.join(folder, base), {
      labels: settings.show_labels,
      conf: settings.show_conf,
      boxes: settings.show_boxes,
      ...(settings.line_width === null ? {} : { lineWidth: settings.line_width }),
    });
  }
  if (settings.save_txt)
    await result.saveTxt(path.join(folder, 'labels', `${name}.txt`), { conf: settings.save_conf });
  if (settings.save_crop) await result.saveCrop(path.join(folder, 'crops'));
}
