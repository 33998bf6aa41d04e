/** What the options of the train command change in a run that is prepared: a value, and what is looked at. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { manualSeed, scope, zeros } from '@mezzo/torch';
import type { Run } from '../src/engine/run.ts';
import { planIteration } from '../src/engine/schedule.ts';
import type { TrainOptions } from '../src/index.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import type { Prepared } from './tiny-run.ts';

interface Picture {
  data: Buffer;
  targets: number[];
  shape: readonly number[];
  input: string;
  paths: string[];
}

/** The batches of an epoch. */
async function batchesOf({ train }: Pick<Run, 'train'>, epoch = 0): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for await (const { memory, targets, shape, input, paths } of train.epoch(epoch)) {
    pictures.push({
      data: Buffer.from(memory.bytes),
      targets: Array.from(targets),
      shape,
      input: `${input.height}x${input.width}`,
      paths: paths.map((file) => path.basename(file)),
    });
    memory.release();
  }
  return pictures;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 12);
const pixels = async ({ run }: Prepared) =>
  (await batchesOf(run)).map((batch) => digest(batch.data)).join(' ');
const boxes = async ({ run }: Prepared) =>
  (await batchesOf(run)).map(({ targets }) => targets.join()).join(' ');
const shapes = async ({ run }: Prepared) =>
  (await batchesOf(run)).map(({ shape }) => shape.join('x')).join(' ');
const inputs = async ({ run }: Prepared) =>
  [...(await batchesOf(run)), ...(await batchesOf(run, 1)), ...(await batchesOf(run, 2))]
    .map(({ input }) => input)
    .join(' ');
const order = async ({ run }: Prepared) => (await batchesOf(run)).map(({ paths }) => paths.join()).join(' ');
const count = async ({ run }: Prepared) =>
  (await batchesOf(run)).reduce((sum, { targets }) => sum + targets.length / 6, 0);

const iteration =
  (ni: number) =>
  ({ run }: Prepared) =>
    planIteration(run.schedule, ni);
const group =
  (index: number) =>
  ({ run }: Prepared) => {
    const { params: _, ...options } = run.optimizer.optimizer.paramGroups[index]!;
    return options;
  };

/** Boxes of a picture of 256 pixels: a square of 120, and a bar of 7 x 120 between the centres of cells. */
const BOXES = [0, 1, 0.25, 0.25, 120 / 256, 120 / 256, 0, 1, 0.75, 0.5, 7 / 256, 120 / 256];

/** The loss of the untrained network on a black picture. */
function lossItems({ run }: Prepared): number[] {
  manualSeed(0);
  return scope(() => {
    const images = zeros([1, 3, 256, 256]);
    run.model.train();
    const maps = run.model.forward(images) as HeadMaps;
    const { items } = run.loss.forward(maps, Float32Array.from(BOXES));
    return Array.from(items.toTypedArray() as Float32Array);
  });
}

const boxBias = ({ run }: Prepared) =>
  Object.entries(run.model.stateDict())
    .filter(([name]) => /cv2\.0\.2\.bias$/.test(name))
    .map(([, bias]) => (bias.toTypedArray() as Float32Array)[0]);

export const weights = ({ run }: Prepared) =>
  digest(
    Buffer.concat(
      Object.values(run.model.stateDict()).map((tensor) => {
        const { buffer } = tensor.to('float32').toTypedArray() as Float32Array;
        return Buffer.from(buffer as ArrayBuffer);
      }),
    ),
  );

export interface Row {
  /** The option's value that is tried. */
  set: TrainOptions;
  /** What both runs have besides. */
  with?: TrainOptions;
  look: (prepared: Prepared) => unknown;
  /** What is seen then; other than before, at least. */
  see?: unknown;
}

const optimizerRows: Record<string, Row> = {
  optimizer: {
    set: { optimizer: 'RAdam' },
    look: ({ run }) => run.optimizer.optimizer.constructor.name,
    see: 'RAdam',
  },
  lr0: { set: { lr0: 0.002 }, look: ({ run }) => run.optimizer.rates(), see: [0.002, 0.002, 0.002] },
  lrf: { set: { lrf: 0.5, warmup_epochs: 0 }, with: { warmup_epochs: 0 }, look: iteration(9) },
  cos_lr: { set: { cos_lr: true }, with: { warmup_epochs: 0 }, look: iteration(3) },
  momentum: {
    set: { momentum: 0.5 },
    look: (it) => (group(0)(it) as { momentum: number }).momentum,
    see: 0.5,
  },
  weight_decay: {
    set: { weight_decay: 0.01 },
    look: (it) => [0, 1, 2].map((i) => (group(i)(it) as { weightDecay: number }).weightDecay),
    see: [0.01, 0, 0],
  },
  warmup_epochs: { set: { warmup_epochs: 0 }, look: (it) => iteration(0)(it).lrOther, see: 0.01 },
  warmup_momentum: { set: { warmup_momentum: 0.3 }, look: (it) => iteration(0)(it).momentum, see: 0.3 },
  warmup_bias_lr: { set: { warmup_bias_lr: 0.7 }, look: (it) => iteration(0)(it).lrBias, see: 0.7 },
  warmup_rule: { set: { warmup_rule: 'floor100' }, look: iteration(10) },
  nbs: { set: { nbs: 4 }, look: (it) => iteration(11)(it).accumulate, see: 2 },
  accumulate: { set: { accumulate: 3 }, look: (it) => iteration(11)(it).accumulate, see: 3 },
  clip: { set: { clip: 0.5 }, look: ({ run }) => run.step.parts.clip, see: 0.5 },
};

const batchRows = (forms: string): Record<string, Row> => ({
  imgsz: { set: { imgsz: 96 }, look: shapes, see: '2x96x96x3 2x96x96x3 2x96x96x3' },
  batch: { set: { batch: 3 }, look: shapes, see: '3x64x64x3 3x64x64x3' },
  fraction: { set: { fraction: 0.5 }, look: ({ run }) => run.images.train, see: 3 },
  seed: { set: { seed: 9 }, look: order },
  rect: {
    set: { rect: true },
    with: { data: forms, batch: 1 },
    look: shapes,
    see: '1x32x64x3 1x64x32x3',
  },
  multi_scale: { set: { multi_scale: 0.5 }, look: inputs },
  cache: { set: { cache: 'ram' }, with: { mosaic: 1 }, look: pixels },
  classes: { set: { classes: [1] }, look: count },
  single_cls: { set: { single_cls: true }, look: ({ run }) => run.data.names, see: ['item'] },
  hsv_h: { set: { hsv_h: 0.3 }, look: pixels },
  hsv_s: { set: { hsv_s: 0.9 }, look: pixels },
  hsv_v: { set: { hsv_v: 0.9 }, look: pixels },
  bgr: { set: { bgr: 1 }, look: pixels },
  degrees: { set: { degrees: 40 }, look: boxes },
  translate: { set: { translate: 0.3 }, look: boxes },
  scale: { set: { scale: 0.5 }, look: boxes },
  shear: { set: { shear: 20 }, look: boxes },
  perspective: { set: { perspective: 0.001 }, look: boxes },
  flipud: { set: { flipud: 1 }, look: boxes },
  fliplr: { set: { fliplr: 1 }, look: boxes },
  mosaic: { set: { mosaic: 1 }, look: boxes },
  mixup: { set: { mixup: 1 }, look: count },
  cutmix: { set: { cutmix: 1 }, look: pixels },
});

/** `night` is a data set of pairs, `dual` the description of a network of two streams. */
const pairRows = (night: string, dual: string): Record<string, Row> => {
  const still = { ir_gain: 0, ir_offset: 0, ir_noise: 0 };
  const pairs = { with: { ...still, data: night, fusion: dual }, look: pixels };
  return {
    fusion: {
      set: { fusion: dual },
      with: { data: night },
      look: ({ run }) => run.model.description.table.modalities,
      see: { rgb: 3, ir: 3 },
    },
    modality: {
      set: { modality: 'infrared' },
      with: { data: night },
      look: ({ run }) => path.basename(path.resolve(run.labelled[0]!.path, '../..')),
      see: 'imagesIR',
    },
    ir_channels: {
      set: { ir_channels: 1 },
      with: { data: night, fusion: dual },
      look: ({ run }) => run.model.ch,
      see: 4,
    },
    ir_gain: { set: { ir_gain: 0.5 }, ...pairs },
    ir_offset: { set: { ir_offset: 0.5 }, ...pairs },
    ir_noise: { set: { ir_noise: 0.5 }, ...pairs },
    modality_dropout: {
      set: { modality_dropout: 1 },
      ...pairs,
      look: async ({ run }) => (await batchesOf(run)).every(({ data }) => silent(data)),
      see: true,
    },
  };
};

/** Has every image of six channels one modality of zeros alone? */
function silent(data: Buffer): boolean {
  const size = 64 * 64 * 6;
  return Array.from({ length: data.length / size }, (_, i) => data.subarray(i * size, (i + 1) * size)).every(
    (image) =>
      [0, 3].some((first) =>
        image.every((level, at) => Math.floor((at % 6) / 3) !== first / 3 || level === 0),
      ),
  );
}

const modelRows: Record<string, Row> = {
  box: { set: { box: 15 }, look: lossItems },
  cls: { set: { cls: 1 }, look: lossItems },
  dfl: { set: { dfl: 3 }, look: lossItems },
  cls_pw: { set: { cls_pw: 1 }, look: lossItems },
  inflate: { set: { inflate: 0 }, look: lossItems },
  box_bias: { set: { box_bias: 1 }, look: boxBias, see: [1] },
  freeze: { set: { freeze: [0, 2] }, look: ({ run }) => run.frozen, see: [0, 2] },
  match: { set: { match: 'iou' }, look: ({ run }) => run.rules.match, see: 'iou' },
  ap_end: { set: { ap_end: 'slope' }, look: ({ run }) => run.rules.apEnd, see: 'slope' },
  edges: { set: { edges: 'cut' }, look: ({ run }) => run.rules.edges, see: 'cut' },
  fitness: { set: { fitness: 'weighted' }, look: ({ run }) => run.rules.fitness, see: 'weighted' },
  recipe: {
    set: { recipe: '8.3' },
    look: ({ run }) => run.rules,
    see: { match: 'iou', apEnd: 'slope', fitness: 'weighted', edges: 'cut' },
  },
};

const precisionRows: Record<string, Row> = {
  amp: {
    set: { amp: 'bf16' },
    with: { check: false },
    look: ({ run }) => run.precision.dtype,
    see: 'bfloat16',
  },
  channels_last: { set: { channels_last: true }, look: ({ run }) => run.precision.channelsLast, see: true },
  scaler: {
    set: { scaler: 'static', init_scale: 1024 },
    with: { amp: 'fp16', check: false },
    look: ({ run }) => run.scaler.stateDict(),
  },
  init_scale: {
    set: { init_scale: 256 },
    with: { amp: 'fp16', check: false },
    look: ({ run }) => run.scaler.getScale(),
    see: 256,
  },
  growth_interval: {
    set: { growth_interval: 7 },
    with: { amp: 'fp16', check: false },
    look: ({ run }) => run.scaler.getGrowthInterval(),
    see: 7,
  },
  fp32: {
    set: { fp32: 'model.5.*' },
    with: { amp: 'bf16', check: false },
    look: ({ run }) => run.islands.plan.rules.map(({ layers }) => layers),
    see: ['model.5.*'],
  },
};

/**
 * The tables by subject.
 * @param forms a data set of a wide and a tall image
 * @param night a data set of pairs
 * @param dual the description of a network of two streams
 */
export const effects = (forms: string, night: string, dual: string): Record<string, Record<string, Row>> => ({
  'optimizer and schedule': optimizerRows,
  batches: batchRows(forms),
  pairs: pairRows(night, dual),
  'network, loss and metrics': modelRows,
  precision: precisionRows,
});

/** Options whose effect is shown elsewhere, and why not here. */
export const ELSEWHERE: Record<string, string> = {
  device: 'needs a GPU; on a CPU there is one device (engine/device.ts, cuda tests)',
  ranks: 'processes: ranks.test.ts',
  sync_bn: 'statistics of all ranks: ranks.test.ts',
  timeout: 'how long ranks wait for each other (tests of the process groups in packages/torch)',
  deterministic: 'chooses among CUDA kernels (cuda tests)',
  workers: 'changes how soon pictures are there, and nothing in them: data-loader.test.ts',
  patience: 'stopper.test.ts',
  obj: 'of networks with anchors: anchor-head.test.ts',
  anchor_t: 'of networks with anchors: anchor-head.test.ts, auto-anchor.test.ts',
  noautoanchor: 'of networks with anchors: auto-anchor.test.ts',
  iou: 'suppression in validation: metrics-nms.test.ts',
  max_det: 'suppression in validation: metrics-nms.test.ts',
  box_gain: 'boxes on their way back to the picture: metrics-detection.test.ts, scale_boxes.json',
  scale_floor: 'loss-scale.test.ts',
  precision: 'plan-run.test.ts',
  autopsy: 'autopsy-run.test.ts',
};
