import { existsSync, statSync } from 'node:fs';
import {
  loadSafetensors,
  MezzoError,
  readPt,
  readSafetensorsHeader,
  savePt,
  saveSafetensors,
  scope,
  type Tensor,
} from '@mezzo/torch';
import { type CheckpointContents, modelOf, readCheckpoint, writeWeights } from '../engine/checkpoint.ts';
import { networkIn } from './network-in-file.ts';
import { detectorIn } from './torch-checkpoint.ts';

/** What a conversion of weights wrote. */
export interface ConvertedWeights {
  readonly from: string;
  readonly to: string;
  /** The model they are of; null for tensors that fit none. */
  readonly model: string | null;
  /** Class names by id; empty without a model. */
  readonly names: readonly string[];
  readonly tensors: number;
  /** Numbers in all tensors. */
  readonly values: number;
  readonly bytes: number;
}

/**
 * Writes the weights of a .pt file as safetensors. A detector known here is checked to fit, becomes fp32 and carries its
 * description, so that every command reads it; other dicts of tensors are written as they are.
 * @throws {PtError} {MezzoError} NO_SUCH_FILE, UNSUPPORTED_WEIGHTS, WRITE_FAILED; nothing is written then
 */
export function convertPtToSafetensors(from: string, to: string): ConvertedWeights {
  requireFile(from);
  return scope(() => {
    const file = readPt(from);
    const network = networkIn(file);
    const contents = detectorIn(file, network);
    if (contents === undefined) {
      const tensors = file.load(network.state);
      saveSafetensors(to, tensors);
      return report(from, to, tensors, null);
    }
    modelOf(contents);
    writeWeights(to, contents);
    return report(from, to, contents.weights, contents);
  });
}

/** Writes the weights of a safetensors file as a plain state dict: `torch.load(to, weights_only=True)` gives it. */
export async function convertSafetensorsToPt(from: string, to: string): Promise<ConvertedWeights> {
  requireFile(from);
  const known = readSafetensorsHeader(from).metadata.mezzo !== undefined;
  const contents = known ? await readCheckpoint(from) : null;
  return scope(() => {
    const weights = contents?.weights ?? loadSafetensors(from).tensors;
    savePt(to, weights);
    return report(from, to, weights, contents);
  });
}

function requireFile(file: string): void {
  if (!existsSync(file)) throw new MezzoError('NO_SUCH_FILE', `no such file: ${file}`);
}

function report(
  from: string,
  to: string,
  tensors: Readonly<Record<string, Tensor>>,
  contents: CheckpointContents | null,
): ConvertedWeights {
  const list = Object.values(tensors);
  return {
    from,
    to,
    model: contents?.identity.name ?? null,
    names: contents?.identity.names ?? [],
    tensors: list.length,
    values: list.reduce((sum, tensor) => sum + tensor.numel(), 0),
    bytes: statSync(to).size,
  };
}
