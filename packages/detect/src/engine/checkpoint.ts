import { existsSync } from 'node:fs';
import type { PrecisionPlan } from '@mezzo/precision';
import {
  type amp,
  loadSafetensors,
  MezzoError,
  type optim,
  readSafetensorsHeader,
  saveSafetensors,
  type Tensor,
  tensor,
  writeFileAtomically,
} from '@mezzo/torch';
import type { Modality } from '../augment/pair-draw.ts';
import { buildModel, type DetectionModel } from '../models/build.ts';
import type { ModelTable } from '../models/description.ts';
import type { PlannedPrecision } from '../precision/plan.ts';
import type { FilePositions } from './run-files.ts';
import { fileSystemError } from './run-folder.ts';

/** How to build the network that a file's weights belong to. */
export interface ModelIdentity {
  name: string;
  table: ModelTable;
  names: readonly string[];
}

/** Everything a resumed run needs beside tensors. Written as one JSON document into the file's metadata. */
export interface TrainingState {
  /** Epoch in progress, from 0; equal to `epochs` once training is over. */
  epoch: number;
  /** Epochs to train: those asked for, or with `time=` those that fit into it. */
  epochs: number;
  /** Batches of that epoch that were done: above 0 after Ctrl-C. */
  batch: number;
  /** Iteration (batch of the run) of the last optimizer step, -1 before the first. */
  lastStep: number;
  /** Optimizer steps tried, and those left out because something was not finite: in all, and in a row until now. */
  steps: number;
  skipped: number;
  skippedInARow?: number;
  /** How many of those in a row no lower loss scale could have saved. */
  hopeless?: number;
  /** How often the run went back to a checkpoint: its order of pictures and its learning rate follow from it. */
  rollbacks?: number;
  /** What window observers keep, by their names. */
  observers?: Record<string, unknown>;
  emaUpdates: number;
  best: { epoch: number; fitness: number; map50: number; map: number };
  scaler: Record<string, number>;
  optimizer: Omit<optim.OptimizerState, 'state'> & { scalars: Record<string, Record<string, number | null>> };
  losses: { sums: number[]; batches: number };
  /** Generator states as base64, by device. */
  random: Record<string, string>;
  /** Sizes to which the run's growing files are cut back. */
  files: FilePositions;
  /** Compute threads, on which the last bits of results depend. */
  threads: number;
  /** Seconds trained before. */
  seconds: number;
  /** Options of the run. */
  settings: Record<string, unknown>;
  saveDir: string;
  finished: boolean;
  /** The precision and the plan that the run began with. */
  precision?: PlannedPrecision;
  /** The open accumulation window, but for its buffers. */
  window?: { losses: number[]; state: number[][] };
}

interface Metadata {
  format: 'mezzo-detector';
  version: 1;
  model: ModelIdentity;
  /** Absolute path of the data.yaml that the weights were trained on. */
  data?: string;
  /** Which epoch's weights these are (from 1), and how good. */
  epoch?: number;
  map50?: number;
  map?: number;
  /** Layers that these weights were trained with in another precision than the rest. */
  plan?: PrecisionPlan;
  /** Of a network of one stream that was trained on pairs: the sensor that it saw. */
  modality?: Modality;
  training?: TrainingState;
}

const LIVE = 'train:';
const OPTIMIZER = 'optimizer:';
const GRADIENT = 'grad:';
const WINDOW = 'window:';

export interface CheckpointContents {
  identity: ModelIdentity;
  /** The averaged weights, under the published names: what validation and prediction use. */
  weights: Record<string, Tensor>;
  data: string | null;
  epoch: number;
  map50: number;
  map: number;
  /** Layers that the weights were trained with in another precision than the rest; left out when there are none. */
  plan?: PrecisionPlan;
  /** The sensor that a network of one stream saw of its pairs. */
  modality?: Modality;
  training?: {
    state: TrainingState;
    live: Record<string, Tensor>;
    optimizer: optim.OptimizerState;
    gradients: Record<string, Tensor>;
    /** An accumulation window that is not at its end. */
    window?: amp.OpenWindow;
  };
}

/**
 * Writes a checkpoint so that a kill at any moment leaves the old file or the new one, whole. Averaged weights stand
 * under the published names, so any safetensors reader can use the file. A readable copy of its metadata lies beside it.
 */
export async function writeCheckpoint(file: string, contents: CheckpointContents): Promise<void> {
  const { weights, training } = contents;
  const tensors: Record<string, Tensor> = { ...weights };
  const metadata = metadataOf(contents);
  if (training) {
    const scalars: Record<string, Record<string, number | null>> = {};
    for (const [key, tensor] of Object.entries(training.live)) tensors[LIVE + key] = tensor;
    for (const [key, tensor] of Object.entries(training.gradients)) tensors[GRADIENT + key] = tensor;
    for (const [number, values] of Object.entries(training.optimizer.state)) {
      for (const [name, value] of Object.entries(values)) {
        if (typeof value === 'object' && value !== null) tensors[`${OPTIMIZER}${number}:${name}`] = value;
        else scalars[number] = { ...scalars[number], [name]: value };
      }
    }
    const { param_groups } = training.optimizer;
    metadata.training = { ...training.state, optimizer: { param_groups, scalars } };
    if (training.window) {
      const { losses, buffers, state } = training.window;
      for (const [key, value] of Object.entries(buffers)) tensors[WINDOW + key] = value;
      const sums = state.map((value) => Array.from(value.toTypedArray() as Float32Array));
      metadata.training.window = { losses, state: sums };
    }
  }
  try {
    await saveSafetensors(file, tensors, { mezzo: JSON.stringify(metadata) });
    // For people; never read back.
    writeFileAtomically(file.replace(/\.safetensors$/, '.json'), `${JSON.stringify(metadata, null, 2)}\n`);
  } catch (error) {
    throw fileSystemError((error as Error).cause ?? error, file);
  }
}

function metadataOf({ identity, data, epoch, map50, map, plan, modality }: CheckpointContents): Metadata {
  return {
    ...{ format: 'mezzo-detector', version: 1, model: identity, epoch, map50, map },
    ...(data === null ? {} : { data }),
    ...(plan === undefined ? {} : { plan }),
    ...(modality === undefined ? {} : { modality }),
  };
}

/** Writes the averaged weights alone, one file that every command reads. */
export function writeWeights(file: string, contents: CheckpointContents): void {
  saveSafetensors(file, contents.weights, { mezzo: JSON.stringify(metadataOf(contents)) });
}

/** The metadata of a checkpoint, without its tensors. @throws {MezzoError} NOT_A_CHECKPOINT */
export async function readCheckpointMetadata(file: string): Promise<Metadata> {
  if (!existsSync(file)) throw new MezzoError('NO_SUCH_FILE', `no such file: ${file}`);
  const { metadata } = await readSafetensorsHeader(file);
  return parseMetadata(file, metadata);
}

function parseMetadata(file: string, metadata: Readonly<Record<string, string>>): Metadata {
  const text = metadata.mezzo;
  if (text === undefined) {
    throw new MezzoError('NOT_A_CHECKPOINT', `${file} holds tensors but does not say of which model`, {
      hint: 'start from the model instead and take the tensors over: model=yolov8n pretrained=FILE.safetensors',
    });
  }
  const parsed = parseJson(file, text);
  if (parsed.format !== 'mezzo-detector' || parsed.version !== 1) {
    throw new MezzoError(
      'NOT_A_CHECKPOINT',
      `${file} was written by a newer Mezzo (format ${parsed.format} ${parsed.version})`,
      {
        hint: 'update Mezzo',
      },
    );
  }
  const { name, table, names } = (parsed.model as Partial<ModelIdentity> | undefined) ?? {};
  if (typeof name !== 'string' || typeof table !== 'object' || table === null || !Array.isArray(names)) {
    throw new MezzoError('NOT_A_CHECKPOINT', `${file}: what it says of its model is incomplete`);
  }
  return parsed;
}

function parseJson(file: string, text: string): Metadata {
  try {
    return (JSON.parse(text) ?? {}) as Metadata;
  } catch (cause) {
    throw new MezzoError('NOT_A_CHECKPOINT', `${file}: what it says of its model is damaged`, { cause });
  }
}

/** Reads a whole checkpoint. @throws {MezzoError} NO_SUCH_FILE, NOT_A_CHECKPOINT, or the reader's codes for a damaged file */
export async function readCheckpoint(file: string): Promise<CheckpointContents> {
  if (!existsSync(file)) throw new MezzoError('NO_SUCH_FILE', `no such file: ${file}`);
  const { tensors, metadata: raw } = await loadSafetensors(file);
  const metadata = parseMetadata(file, raw);
  const weights: Record<string, Tensor> = {};
  const live: Record<string, Tensor> = {};
  const gradients: Record<string, Tensor> = {};
  const buffers: Record<string, Tensor> = {};
  const state: optim.OptimizerState['state'] = {};
  for (const [key, value] of Object.entries(tensors)) {
    if (key.startsWith(LIVE)) live[key.slice(LIVE.length)] = value;
    else if (key.startsWith(GRADIENT)) gradients[key.slice(GRADIENT.length)] = value;
    else if (key.startsWith(WINDOW)) buffers[key.slice(WINDOW.length)] = value;
    else if (key.startsWith(OPTIMIZER)) {
      const [number = '', name = ''] = key.slice(OPTIMIZER.length).split(':');
      state[number] = { ...state[number], [name]: value };
    } else weights[key] = value;
  }
  const { model: identity, data = null, epoch = 0, map50 = 0, map = 0, plan, modality, training } = metadata;
  const saved = {
    ...{ identity, weights, data, epoch, map50, map },
    ...(plan ? { plan } : {}),
    ...(modality ? { modality } : {}),
  };
  if (!training) return saved;
  const { scalars, ...groups } = training.optimizer;
  for (const [number, values] of Object.entries(scalars)) state[number] = { ...state[number], ...values };
  return {
    ...saved,
    training: {
      state: training,
      live,
      gradients,
      optimizer: { ...groups, state },
      ...(training.window ? { window: openWindow(training.window, buffers) } : {}),
    },
  };
}

function openWindow(
  { losses, state }: NonNullable<TrainingState['window']>,
  buffers: Record<string, Tensor>,
): amp.OpenWindow {
  return { losses, buffers, state: state.map((values) => tensor(values, { dtype: 'float32' })) };
}

/** Builds the network of a checkpoint with its averaged weights. @throws {MezzoError} UNSUPPORTED_WEIGHTS when they do not fit */
export function modelOf({
  identity,
  weights,
}: Pick<CheckpointContents, 'identity' | 'weights'>): DetectionModel {
  const model = buildModel(identity.table, { name: identity.name, names: identity.names });
  try {
    model.loadStateDict(weights);
  } catch (error) {
    if ((error as MezzoError).code !== 'STATE_DICT') throw error;
    const [, reason = ''] = (error as Error).message.split('\n\t');
    throw new MezzoError('UNSUPPORTED_WEIGHTS', `the weights do not fit ${identity.name}: ${reason.trim()}`, {
      hint: 'they can be taken over as far as they fit: pretrained=FILE',
      cause: error,
    });
  }
  return model;
}

export function identityOf(model: DetectionModel): ModelIdentity {
  const { name, table } = model.description;
  return { name, table, names: model.names };
}
