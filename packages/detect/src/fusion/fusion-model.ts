import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { didYouMean } from '@mezzo/libtorch/nearest';
import { type ModelDescription, type ModelTable, resolveModel } from '../models/description.ts';
import { ModelError } from '../models/errors.ts';
import { families } from '../models/families.ts';
import { readModelFile } from '../models/model-file.ts';
import { checkedModalities } from './modalities.ts';

/** Kinds of fusion. */
export const FUSIONS = ['early', 'data', 'mid', 'decision', 'gated', 'cross-attention'] as const;
export type Fusion = (typeof FUSIONS)[number];

/** Other names of kinds, and what is to be said about them. */
const ALIASES: Readonly<Record<string, { readonly fusion: Fusion; readonly note: string }>> = {
  easy: { fusion: 'mid', note: 'fusion=easy is mid here: two backbones, joined at P3, P4 and P5' },
};

/** Families whose blocks streams are made of. */
export const FUSION_BLOCKS = ['yolov8', 'yolo11'] as const;
export type FusionBlocks = (typeof FUSION_BLOCKS)[number];

export interface FusionOptions {
  /** A kind of fusion, an alias, or a .yaml model file with `modalities`. */
  fusion: string;
  /** The family of the streams' blocks; a file has its own. */
  blocks: FusionBlocks;
  /** Size letter; a file without `scales` has but one size. */
  scale: 'n' | 's' | 'm' | 'l' | 'x';
  /** Channels of each modality, visible light first. Infrared of three is grey three times. */
  channels: readonly number[];
  /** Number of classes. */
  nc: number;
}

/**
 * The model for images whose channels are those of several sensors one after the other: [B, visible + infrared, H, W].
 * @throws {ModelError} `UNKNOWN_MODEL` for a fusion or file that is not there, `BAD_MODEL` for a file that is no such model
 */
export function fusionModel({ fusion, blocks, scale, channels, nc }: FusionOptions): ModelDescription {
  const file = /\.ya?ml$/.test(fusion);
  const { fusion: kind } = file ? { fusion } : chosenFusion(fusion);
  const table = file ? ownTable(fusion) : publishedFusion(kind as Fusion, blocks);
  const name = file ? path.basename(fusion).replace(/\.ya?ml$/, '') : `${kind}-${blocks}${scale}`;
  const size = table.scales !== undefined && table.scale === undefined ? { scale } : {};
  const { ch: _, ...rest } = table;
  return resolveModel({ ...rest, ...size, modalities: withChannels(table, channels) }, { name, nc });
}

/**
 * The kind that a name stands for, and a note for who asked for it by another name.
 * @throws {ModelError} `UNKNOWN_MODEL`
 */
export function chosenFusion(name: string): { fusion: Fusion; note: string | null } {
  if ((FUSIONS as readonly string[]).includes(name)) return { fusion: name as Fusion, note: null };
  const alias = Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
  if (alias !== undefined) return alias;
  const known = [...FUSIONS, ...Object.keys(ALIASES)];
  throw new ModelError('UNKNOWN_MODEL', `unknown fusion '${name}'${didYouMean(name, known)}`, {
    hint: `fusions: ${FUSIONS.join(', ')}; or the path of a .yaml model file`,
  });
}

/** Where the model files of this package lie. */
const FILES = new URL('../../../models/fusion/', import.meta.url);

/** The model file of a kind of fusion, to start one of one's own from; `data` has none, it is the family's network. */
export const fusionFile = (fusion: Exclude<Fusion, 'data'>, blocks: FusionBlocks): string =>
  fileURLToPath(new URL(`${fusion}-${blocks}.yaml`, FILES));

function publishedFusion(fusion: Fusion, blocks: FusionBlocks): ModelTable {
  if (fusion !== 'data') return readModelFile(fusionFile(fusion, blocks));
  return { ...families[blocks]!, modalities: { rgb: 3, ir: 3 } };
}

function ownTable(file: string): ModelTable {
  if (!existsSync(file)) {
    throw new ModelError('UNKNOWN_MODEL', `${file} is not there; looked for ${path.resolve(file)}`, {
      hint: `fusion= takes ${FUSIONS.join(', ')}, or the path of a .yaml model file`,
    });
  }
  return readModelFile(file);
}

/** The table's modalities with the channels of the data, in the same order. */
function withChannels({ modalities }: ModelTable, channels: readonly number[]): Record<string, number> {
  const names = Object.keys(checkedModalities(modalities ?? {}));
  if (names.length !== channels.length) {
    throw new ModelError(
      'BAD_MODEL',
      `the model has ${names.length} modalities (${names.join(', ')}), the data ${channels.length}`,
      { key: 'modalities' },
    );
  }
  return Object.fromEntries(names.map((name, i) => [name, channels[i]!]));
}
