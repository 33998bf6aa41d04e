import { existsSync } from 'node:fs';
import {
  MezzoError,
  type PtFile,
  type PtTensor,
  type PtValue,
  readPt,
  scope,
  type Tensor,
} from '@mezzo/torch';
import type { CheckpointContents } from '../engine/checkpoint.ts';
import { describedNetwork } from './described-network.ts';
import { type NetworkInFile, networkIn } from './network-in-file.ts';
import { recognisedNetwork } from './recognised-network.ts';

/**
 * Reads a detector's weights from a .pt file: a checkpoint of Ultralytics or YOLOv5 (its averaged weights where it has
 * them), a network saved whole, or a dict of tensors of a published model. Nothing in the file is run; 16-bit weights
 * become fp32.
 * @throws {PtError} by its code, when the file is damaged, foreign or malicious
 * @throws {MezzoError} UNSUPPORTED_WEIGHTS, BAD_MODEL when it holds something else than a detector known here
 */
export function readTorchCheckpoint(path: string): CheckpointContents {
  const file = readPt(path);
  const network = networkIn(file);
  const contents = detectorIn(file, network);
  if (contents !== undefined) return contents;
  throw new MezzoError(
    'UNSUPPORTED_WEIGHTS',
    `${path}: its ${network.state.size} tensors fit no model that is known`,
    {
      hint: `those that fit one can be taken over: model=yolov8n pretrained=${path}`,
    },
  );
}

/** The detector that a network is; undefined for a dict of tensors that fits no published model. */
export function detectorIn(file: PtFile, { state, module }: NetworkInFile): CheckpointContents | undefined {
  const identity = module === null ? recognisedNetwork(state) : describedNetwork(file.path, module, state);
  if (identity === undefined) return undefined;
  return { identity, weights: loadFloat(file, state), ...trainingOf(file.value) };
}

/** The tensors of a .pt file by name, in fp32, whatever model they belong to. @throws as readTorchCheckpoint */
export function readTorchWeights(path: string): Record<string, Tensor> {
  const file = readPt(path);
  return loadFloat(file, networkIn(file).state);
}

function loadFloat(file: PtFile, state: ReadonlyMap<string, PtTensor>): Record<string, Tensor> {
  return scope(() => {
    const loaded = Object.entries(file.load(state));
    return Object.fromEntries(
      loaded.map(([key, tensor]) => [key, tensor.isFloatingPoint() ? tensor.float() : tensor]),
    );
  });
}

/** What the file tells of its training: data set, epoch, quality. */
function trainingOf(root: PtValue): Pick<CheckpointContents, 'data' | 'epoch' | 'map50' | 'map'> {
  const at = (name: string, key: string): PtValue | undefined => {
    const part = root instanceof Map ? root.get(name) : undefined;
    return part instanceof Map ? part.get(key) : undefined;
  };
  const data = at('train_args', 'data') ?? at('opt', 'data');
  const epoch = root instanceof Map ? root.get('epoch') : undefined;
  const share = (key: string) => {
    const value = at('train_metrics', key);
    return typeof value === 'number' && Number.isFinite(value) ? value : 0;
  };
  return {
    // A path of another machine helps nobody.
    data: typeof data === 'string' && existsSync(data) ? data : null,
    // -1 once a training is over.
    epoch: Number.isInteger(epoch) && (epoch as number) >= 0 ? (epoch as number) + 1 : 0,
    map50: share('metrics/mAP50(B)'),
    map: share('metrics/mAP50-95(B)'),
  };
}
