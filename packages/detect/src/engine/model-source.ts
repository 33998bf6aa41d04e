import { existsSync } from 'node:fs';
import path from 'node:path';
import { applyPlan } from '@mezzo/precision';
import { loadSafetensors, MezzoError, scope } from '@mezzo/torch';
import type { TrainSettings } from '../config/index.ts';
import { networkChannels } from '../data/channels.ts';
import type { Decoding } from '../data/decode-as.ts';
import { transferIntoStreams } from '../fusion/transfer.ts';
import { buildModel, type DetectionModel } from '../models/build.ts';
import { type ModelTable, modelNames, resolveModel } from '../models/description.ts';
import { readModelFile } from '../models/model-file.ts';
import { type TransferReport, transferWeights } from '../models/transfer.ts';
import { readTorchCheckpoint, readTorchWeights } from '../weights/torch-checkpoint.ts';
import { type CheckpointContents, modelOf, readCheckpoint } from './checkpoint.ts';
import { dualChannels } from './dual-source.ts';

/** Where a network comes from: a published description, a table of one's own, or trained weights. */
export type ModelSource =
  | { readonly kind: 'table'; readonly name: string; readonly table: string | ModelTable }
  | {
      readonly kind: 'weights';
      readonly name: string;
      readonly file: string;
      readonly contents: CheckpointContents;
    };

const DEFAULT_MODEL = 'yolov8n';

/**
 * Finds what `model=` names: `yolov8n`, a .yaml description, or weights: .safetensors, or .pt of Ultralytics and YOLOv5
 * (`best.pt` beside an existing `best.safetensors` means the latter). null is yolov8n.
 * @throws {MezzoError} NO_SUCH_MODEL, UNKNOWN_MODEL, BAD_MODEL, NOT_A_CHECKPOINT, UNSUPPORTED_WEIGHTS
 * @throws {PtError} by its code, for a .pt file that is damaged, foreign or malicious
 */
export async function openModel(name: string | null): Promise<ModelSource> {
  const wanted = name ?? DEFAULT_MODEL;
  const suffix = path.extname(wanted);
  if (suffix === '.safetensors' || suffix === '.pt') return openWeights(wanted);
  if (suffix === '.yaml' || suffix === '.yml') {
    if (existsSync(wanted)) return { kind: 'table', name: wanted, table: readModelFile(wanted) };
    const published = path.basename(wanted, suffix);
    if (modelNames().includes(published)) return { kind: 'table', name: published, table: published };
    throw notFound(wanted);
  }
  // Unknown names are refused here, before anything is set up.
  resolveModel(wanted);
  return { kind: 'table', name: wanted, table: wanted };
}

/** `best.pt` asked for beside an existing `best.safetensors` means the latter. */
export function preferSafetensors(name: string): string {
  const own = name.replace(/\.pt$/, '.safetensors');
  return existsSync(own) ? own : name;
}

function existingWeights(name: string): string {
  const file = preferSafetensors(name);
  if (!existsSync(file)) throw notFound(name);
  return file;
}

async function openWeights(name: string): Promise<Extract<ModelSource, { kind: 'weights' }>> {
  const file = existingWeights(name);
  if (path.extname(file) === '.safetensors') {
    return {
      kind: 'weights',
      name: path.basename(file, '.safetensors'),
      file,
      contents: await readCheckpoint(file),
    };
  }
  return { kind: 'weights', name: path.basename(file, '.pt'), file, contents: readTorchCheckpoint(file) };
}

function notFound(name: string): MezzoError {
  const stem = path.basename(name, path.extname(name));
  const way = modelNames().includes(stem)
    ? `model=${stem} trains from scratch`
    : 'model=yolov8n trains from scratch';
  const looked = [
    path.resolve(name),
    ...(name.endsWith('.pt') ? [path.resolve(name.replace(/\.pt$/, '.safetensors'))] : []),
  ];
  return new MezzoError('NO_SUCH_MODEL', `${name} is not there; looked for ${looked.join(' and ')}`, {
    hint: `Mezzo downloads no weights: ${way}, or give the path of your own weights`,
  });
}

/** What a network is built for; `channels` is what the data's yaml states, null when it says nothing. */
export interface ModelData {
  readonly file: string;
  readonly names: readonly string[];
  readonly channels: number | null;
}

export interface MadeModel {
  model: DetectionModel;
  /** What was taken over from weights, if any were. */
  transfer: TransferReport | null;
}

/** The network for training on a data set: from scratch, or with those weights whose names and shapes fit. */
export async function makeTrainable(
  source: ModelSource,
  data: ModelData,
  settings: Pick<TrainSettings, 'pretrained' | 'box_bias' | 'recipe' | 'ir_channels'>,
): Promise<MadeModel> {
  const table = source.kind === 'weights' ? source.contents.identity.table : source.table;
  const name = source.kind === 'weights' ? source.contents.identity.name : source.name;
  const model = buildModel(table, {
    name,
    nc: data.names.length,
    ch: dualChannels(source, settings) ?? channelsFor(source, data),
    names: data.names,
    boxBias: settings.box_bias,
  });
  const streams = await intoStreams(model, settings.pretrained);
  if (streams !== null) return { model, transfer: streams };
  const weights = await pretrainedWeights(source, settings.pretrained);
  if (weights === null) return { model, transfer: null };
  return {
    model,
    transfer: scope(() => transferWeights(model, weights, { overlapFirstConv: settings.recipe !== '8.3' })),
  };
}

/** Channels that a model of one's own states; null for a published one, which is built for the data. */
export function ownChannels(source: ModelSource): number | null {
  const table = source.kind === 'weights' ? source.contents.identity.table : source.table;
  if (typeof table === 'string') return null;
  if (source.kind === 'weights') return table.ch ?? 3;
  return table.ch ?? (table as { channels?: number }).channels ?? null;
}

/** Weights go over to other data channel by channel; a description that states its channels is held to them. */
function channelsFor(source: ModelSource, data: ModelData): number {
  if (source.kind === 'weights' && data.channels !== null) return data.channels;
  return networkChannels(ownChannels(source), data);
}

/** A model of several streams takes the weights of a network of one into each; null where that is not what is given. */
async function intoStreams(
  model: DetectionModel,
  pretrained: boolean | string,
): Promise<TransferReport | null> {
  if (typeof pretrained !== 'string' || model.description.table.modalities === undefined) return null;
  const { identity, weights } = (await openWeights(pretrained)).contents;
  if (identity.table.modalities !== undefined) return null;
  const description = resolveModel(identity.table, { name: identity.name });
  return scope(() => transferIntoStreams(model, { description, weights }));
}

async function pretrainedWeights(source: ModelSource, pretrained: boolean | string) {
  if (typeof pretrained === 'string') {
    const file = existingWeights(pretrained);
    return path.extname(file) === '.pt' ? readTorchWeights(file) : loadSafetensors(file).tensors;
  }
  return pretrained && source.kind === 'weights' ? source.contents.weights : null;
}

/** How pictures of one sensor are decoded for a network: as in its training. */
export const decodingOf = (source: ModelSource): Decoding =>
  source.kind === 'weights' && source.contents.modality === 'infrared' ? 'infrared' : 'plain';

/** The network as it is, for validation and prediction. */
export function makeEvaluable(source: ModelSource): DetectionModel {
  if (source.kind === 'weights') {
    const model = modelOf(source.contents);
    // It acts in low precision only, where these layers are not to be trusted.
    if (source.contents.plan) applyPlan(model, source.contents.plan);
    return model;
  }
  return buildModel(source.table, { name: source.name });
}
