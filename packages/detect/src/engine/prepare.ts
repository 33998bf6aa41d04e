import {
  backends,
  MezzoError,
  manualSeed,
  nn,
  noGrad,
  scope,
  useDeterministicAlgorithms,
  zerosLike,
} from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import { networkChannels } from '../data/channels.ts';
import { type DataSet, readDataYaml } from '../data/data-yaml.ts';
import type { Fault } from '../data/inspect-image.ts';
import { openSplit, type Shown } from '../data/pairs/open-split.ts';
import type { Split } from '../data/scan.ts';
import { classCounts } from '../loss/class-weights.ts';
import { foreignGain, lossOf } from '../loss/loss-of.ts';
import type { MetricRules } from '../metrics/rules.ts';
import type { DetectionModel } from '../models/build.ts';
import { checkedPlan } from '../precision/checked-plan.ts';
import { Islands } from '../precision/islands.ts';
import { planPrecision } from '../precision/plan.ts';
import { ALONE, type Ranks } from '../ranks/ranks.ts';
import { requireRanks, requireShareable } from '../ranks/requirements.ts';
import { requireSameRun } from '../ranks/same-run.ts';
import { withBatch } from './auto-batch.ts';
import { openTrainBatches, openValBatches } from './batches.ts';
import type { CheckpointContents } from './checkpoint.ts';
import { selectDevice } from './device.ts';
import { ModelEma } from './ema.ts';
import type { TrainEvent } from './event.ts';
import { fitAnchors } from './fit-anchors.ts';
import { openImageCache } from './image-cache.ts';
import { largestStride, wholeStrides } from './image-size.ts';
import { buildScaler } from './loss-scale.ts';
import type { ModelData } from './model-source.ts';
import { buildOptimizer } from './optimizer.ts';
import { restoreRandomStates } from './random-state.ts';
import { scheduleOfRollback, seedOfRollback } from './rollback.ts';
import type { Run } from './run.ts';
import {
  autoOptimizer,
  ignoredByAuto,
  type OptimizerChoice,
  type ScheduleOptions,
  scaledWeightDecay,
} from './schedule.ts';
import { TrainStep } from './step.ts';
import { useComputeThreads } from './threads.ts';

/** Gives the network for a data set: from scratch, or with the weights that fit. Called after seeding. */
export type ModelFactory = (data: ModelData) => Promise<DetectionModel>;

export interface Preparation {
  settings: TrainSettings;
  /** What the network is shown of the data; its pictures unless given. */
  shown?: Shown;
  makeModel: ModelFactory;
  /** The folder of the run; asked for when everything else is known to be right. */
  makeSaveDir: () => string;
  /** How often the run went back to a checkpoint before this beginning. */
  rollbacks?: number;
  /** It has just gone back: it is to go another way than before. */
  astray?: boolean;
  resume?: NonNullable<CheckpointContents['training']> & Pick<CheckpointContents, 'weights'>;
  emit: (event: TrainEvent) => void;
  /** Told of pictures that cannot be used; as a warning unless given. */
  onSkip?: (fault: Fault) => void;
  signal?: AbortSignal;
  /** With whom the run is shared; alone unless given. */
  ranks?: Ranks;
}

/** Checks data and settings and builds everything of a run; nothing is written before all of it is known to be right. */
export async function prepareRun({
  settings: given,
  shown = 'pictures',
  makeModel,
  makeSaveDir,
  rollbacks = 0,
  astray = false,
  resume,
  emit,
  onSkip = ({ file, reason }) => emit({ event: 'message', level: 'warning', text: `${file}: ${reason}` }),
  signal,
  ranks = ALONE,
}: Preparation): Promise<Run> {
  const device = selectDevice(given.device);
  requireRanks(given, ranks.size);
  requireShareable({ ...given, device }, ranks.size);
  // A run that goes on elsewhere has the precision of the new device.
  const kept = resume?.state.settings.device === given.device ? resume.state.precision : undefined;
  const asked = kept ?? (await planPrecision(given, device));
  if (asked.precision.warning) emit({ event: 'message', level: 'warning', text: asked.precision.warning });
  const data = await readDataYaml(requireData(given), { datasetsDir: given.datasets_dir });
  const [train, val] = [
    await scan(data, 'train', shown, given, emit, signal),
    await scan(data, 'val', shown, given, emit, signal),
  ];
  requirePictures(train, ranks.size);
  useComputeThreads();
  if (device !== 'cpu') {
    useDeterministicAlgorithms(given.deterministic);
    backends.cudnn.deterministic = given.deterministic;
    backends.cudnn.benchmark = !given.deterministic;
  }
  manualSeed(given.seed);
  const model = await makeModel({ file: data.file, names: train.names, channels: data.channels });
  const channels = shown === 'pictures' ? networkChannels(model.ch, data) : model.ch;
  const stride = largestStride(model);
  const imgsz = wholeStrides(given.imgsz, stride);
  if (imgsz !== given.imgsz) {
    emit({
      event: 'message',
      level: 'warning',
      text: `imgsz=${given.imgsz} is not a multiple of ${stride}: using ${imgsz}`,
    });
  }
  const { channelsLast } = asked.precision;
  model.to({ device, ...(channelsLast ? { memoryFormat: 'channels_last' as const } : {}) });
  const frozen = freezeLayers(model, given.freeze);
  if (resume) model.loadStateDict(resume.live);

  if (!resume) fitAnchors(model, train, { ...given, imgsz }, emit);
  const counts = classCounts(
    train.images.map(({ labels }) => labels),
    model.nc,
  );
  const loss = lossOf(model, { ...given, imgsz, classCounts: counts });
  const { precision: trial } = asked;
  const settings = withBatch(
    given,
    { model, loss, device, precision: trial, frozen, imgsz, split: train },
    emit,
  );
  const { workers, strict } = settings;
  const planned =
    resume === undefined && settings.check && asked.precision.enabled
      ? await checkedPlan(
          asked,
          { model, loss, device, frozen, split: train, batch: settings.batch, imgsz, channels, workers },
          emit,
        )
      : asked;
  const { precision, plan, heals } = planned;
  for (const { layers, ops, dtype, reason } of precision.enabled ? plan.rules : []) {
    const what = ops === undefined ? layers : `${ops.join(', ')} in ${layers}`;
    emit({ event: 'message', level: 'info', text: `Precision plan: ${what} in ${dtype} (${reason})` });
  }
  for (const text of [foreignGain(model, settings), ignoredByAuto(settings)]) {
    if (text !== null) emit({ event: 'message', level: 'warning', text });
  }
  if (settings.sync_bn && ranks.size > 1) nn.SyncBatchNorm.convertSyncBatchnorm(model);
  const choice = chooseOptimizer(settings, train.images.length, model.nc);
  const optimizer = buildOptimizer(model, {
    ...choice,
    lr: choice.lr0,
    weightDecay: scaledWeightDecay(settings.weight_decay, settings.batch, settings.nbs, settings.accumulate),
    fused: device !== 'cpu',
  });
  const twin = model.clone();
  if (resume) twin.loadStateDict(resume.weights);
  const ema = new ModelEma(model, twin, { updates: resume?.state.emaUpdates ?? 0 });
  const islands = new Islands({ model, average: twin, loss, device, precision, plan, heals });
  const scaler = buildScaler(settings, planned, device);
  if (resume) {
    optimizer.optimizer.loadStateDict(resume.optimizer);
    if (precision.scaler && Object.keys(resume.state.scaler).length > 0)
      scaler.loadStateDict(resume.state.scaler as never);
    for (const [name, parameter] of model.namedParameters()) {
      const gradient = resume.gradients[name];
      // With the parameter's strides, as backward made it: optimizers choose their kernels by them.
      if (gradient) parameter.grad = scope(() => noGrad(() => zerosLike(parameter).copy_(gradient)));
    }
    restoreRandomStates(resume.state.random);
  }
  const seed = seedOfRollback(settings.seed, rollbacks);
  if (astray) manualSeed(seed);
  const caching = { setting: settings.cache, train: train.images, val: val.images, imgsz, channels };
  const cache = await openImageCache({ ...caching, resumed: resume !== undefined }, emit);
  const trainBatches = openTrainBatches({
    split: train,
    cache,
    share: ranks,
    settings: { ...settings, seed },
    imgsz,
    stride,
    channels,
    device,
    onSkip,
  });
  const valBatches = openValBatches({
    split: val,
    imgsz,
    stride,
    batch: 2 * settings.batch,
    rect: true,
    channels,
    device,
    workers,
    strict,
    cacheRam: cache.ram,
    cacheDisk: cache.val,
    onSkip,
  });
  requireSameRun(ranks, {
    settings: { ...settings, cache: cache.setting },
    planned,
    pictures: { train: train.images.length, val: val.images.length },
    names: train.names,
  });
  const { clip } = settings;
  const step = new TrainStep({ model, loss, optimizer, ema, scaler, precision, device, clip, ranks });
  if (resume) {
    step.restoreLosses(resume.state.losses);
    if (resume.window) step.resumeWindow(resume.window);
  }
  return {
    // A device that was chosen stays the run's.
    settings: Object.freeze({
      ...settings,
      cache: cache.setting,
      device: given.device === '-1' ? device : given.device,
      ranks: ranks.size === 1 ? given.ranks : ranks.size,
    }),
    saveDir: await ranks.fromFirst(async () => makeSaveDir()),
    ranks,
    device,
    precision,
    planned,
    islands,
    model,
    ema,
    optimizer,
    scaler,
    loss,
    step,
    rollbacks,
    schedule: scheduleOf(settings, slowed(choice, rollbacks), trainBatches.batches),
    rules: metricRules(settings),
    train: trainBatches,
    val: valBatches,
    labelled: train.images,
    images: { train: train.images.length, val: val.images.length },
    data: { path: data.file, names: train.names },
    imgsz,
    frozen,
  };
}

function requireData({ data }: TrainSettings): string {
  if (data !== null) return data;
  throw new MezzoError('NO_DATA', 'no data set was given: data= names the data.yaml', {
    hint: 'mezzo data shapes --out DIR generates one',
  });
}

function requirePictures({ images }: Split, ranks: number): void {
  if (images.length >= ranks) return;
  throw new MezzoError(
    'BAD_OPTION',
    `ranks=${ranks}: there are ${images.length} training pictures, and every rank needs one`,
    { hint: 'train on fewer ranks' },
  );
}

async function scan(
  data: DataSet,
  name: 'train' | 'val',
  shown: Shown,
  settings: TrainSettings,
  emit: (event: TrainEvent) => void,
  signal: AbortSignal | undefined,
): Promise<Split> {
  const { split, warnings } = await openSplit(data, name, shown, {
    strict: settings.strict,
    singleCls: settings.single_cls,
    classes: settings.classes,
    fraction: name === 'train' ? settings.fraction : 1,
    ...(signal ? { signal } : {}),
  });
  for (const text of warnings) emit({ event: 'message', level: 'warning', text });
  return split;
}

/** Stops the gradients of the first N layers, or of the listed ones; returns their indices. */
export function freezeLayers(model: DetectionModel, freeze: number | readonly number[] | null): number[] {
  if (freeze === null) return [];
  const layers = typeof freeze === 'number' ? Array.from({ length: freeze }, (_, i) => i) : [...freeze];
  const count = model.description.layers.length;
  const missing = layers.find((layer) => layer >= count);
  if (missing !== undefined) {
    throw new MezzoError('BAD_OPTION', `freeze: the model has no layer ${missing}, only 0 to ${count - 1}`);
  }
  for (const layer of layers) model.model.at(layer).requiresGrad_(false);
  return layers;
}

function chooseOptimizer(settings: TrainSettings, images: number, classes: number): OptimizerChoice {
  const { optimizer, batch, nbs, accumulate, epochs, lr0, momentum, warmup_bias_lr } = settings;
  if (optimizer === 'auto') {
    const perStep = accumulate === null ? nbs : batch * accumulate;
    return autoOptimizer(images, batch, perStep, epochs, classes);
  }
  return { name: optimizer, lr0, momentum, warmupBiasLr: warmup_bias_lr };
}

/** With what is left of the learning rate after so many rollbacks. */
function slowed(choice: OptimizerChoice, rollbacks: number): OptimizerChoice {
  const { rate } = scheduleOfRollback(rollbacks);
  return { ...choice, lr0: choice.lr0 * rate, warmupBiasLr: choice.warmupBiasLr * rate };
}

function scheduleOf(settings: TrainSettings, choice: OptimizerChoice, batches: number): ScheduleOptions {
  return {
    rule: settings.warmup_rule,
    epochs: settings.epochs,
    batches,
    batch: settings.batch,
    nbs: settings.nbs,
    accumulate: settings.accumulate,
    lr0: choice.lr0,
    lrf: settings.lrf,
    cosLr: settings.cos_lr,
    momentum: choice.momentum,
    warmupEpochs: settings.warmup_epochs,
    warmupMomentum: settings.warmup_momentum,
    warmupBiasLr: choice.warmupBiasLr,
  };
}

export function metricRules(
  settings: Pick<TrainSettings, 'match' | 'ap_end' | 'fitness' | 'edges'>,
): MetricRules {
  const { match, ap_end: apEnd, fitness, edges } = settings;
  return { match, apEnd, fitness, edges };
}
