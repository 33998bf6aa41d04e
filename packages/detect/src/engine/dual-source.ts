/** Networks of two streams among the sources of networks. */
import type { TrainSettings } from '../config/index.ts';
import { ConfigError } from '../config/index.ts';
import type { Shown } from '../data/pairs/open-split.ts';
import { chosenFusion, FUSION_BLOCKS, type FusionBlocks, fusionModel } from '../fusion/fusion-model.ts';
import { parseModelName } from '../models/description.ts';
import type { ModelSource } from './model-source.ts';

/** Channels of visible light, and of infrared unless said otherwise: grey three times. */
const VISIBLE = 3;
const INFRARED = 3;

type FusionSettings = Pick<TrainSettings, 'fusion' | 'ir_channels'>;

export const isDual = (source: ModelSource): boolean => modalitiesOf(source) !== undefined;

/**
 * The network of two streams that `fusion=` asks for, made of the blocks and in the size that the source names, and a
 * note on what was asked for by another name; the source itself without `fusion=`.
 * @throws {ConfigError} BAD_OPTION for a source that names no blocks
 * @throws {ModelError} UNKNOWN_MODEL, BAD_MODEL
 */
export function withFusion(
  source: ModelSource,
  { fusion, ir_channels }: FusionSettings,
): { source: ModelSource; note: string | null } {
  if (fusion === null) return { source, note: null };
  const file = /\.ya?ml$/.test(fusion);
  const note = file ? null : chosenFusion(fusion).note;
  const { blocks, scale } = file ? sizeOf(source) : blocksOf(source, fusion);
  const channels = [VISIBLE, infraredChannels(ir_channels) ?? INFRARED];
  const { name, table } = fusionModel({ fusion, blocks, scale, channels, nc: 1 });
  return { source: { kind: 'table', name, table }, note };
}

/** Channels of the image that a network of two streams is built for; null for one of one stream. */
export function dualChannels(
  source: ModelSource,
  { ir_channels }: Pick<TrainSettings, 'ir_channels'>,
): number | null {
  const modalities = modalitiesOf(source);
  if (modalities === undefined) return null;
  const own = Object.values(modalities);
  const others = own.slice(0, -1).reduce((sum, channels) => sum + channels, 0);
  return others + (infraredChannels(ir_channels) ?? own.at(-1)!);
}

function infraredChannels(asked: number | null): number | null {
  if (asked !== 2) return asked;
  throw new ConfigError('BAD_OPTION', 'ir_channels=2: infrared has one channel, or three that are the same', {
    option: 'ir_channels',
  });
}

/**
 * What of a data set the network is shown.
 * @throws {ConfigError} BAD_OPTION when one sensor is asked for and the network takes both
 */
export function shownTo(
  modalities: object | undefined,
  { modality }: Pick<TrainSettings, 'modality'>,
): Shown {
  if (modalities === undefined) return modality ?? 'pictures';
  if (!modality) return 'pairs';
  throw new ConfigError('BAD_OPTION', `modality=${modality}: the network has two streams and takes pairs`, {
    option: 'modality',
    hint: 'leave it out, or take a network of one stream (model=yolo11n)',
  });
}

export function modalitiesOf(source: ModelSource): Readonly<Record<string, number>> | undefined {
  const table = source.kind === 'weights' ? source.contents.identity.table : source.table;
  return typeof table === 'string' ? undefined : table.modalities;
}

interface Streams {
  blocks: FusionBlocks;
  scale: 'n' | 's' | 'm' | 'l' | 'x';
}

/** A file has blocks of its own; the size is that of the model that is named, if any is. */
const sizeOf = ({ name }: ModelSource): Streams => ({
  blocks: 'yolo11',
  scale: (parseModelName(name).scale ?? 'n') as Streams['scale'],
});

function blocksOf(source: ModelSource, fusion: string): Streams {
  const refuse = (reason: string, hint: string): never => {
    throw new ConfigError('BAD_OPTION', `fusion=${fusion} with model=${source.name}: ${reason}`, {
      option: 'fusion',
      hint,
    });
  };
  const named = 'model names the blocks and the size of the streams: yolov8n … yolov8x, yolo11n … yolo11x';
  if (source.kind === 'weights') {
    return isDual(source)
      ? refuse('these weights have a fusion of their own', 'leave fusion out to train on from them')
      : refuse(
          'fusion begins a new network, and these are weights of one stream',
          `${named}; pretrained=${source.file} loads weights into both streams`,
        );
  }
  const { family, scale } = parseModelName(source.name);
  if (typeof source.table !== 'string') {
    return refuse('a description says how its streams are joined', `${named}; or give the file as fusion=`);
  }
  const blocks = FUSION_BLOCKS.find((known) => known === family);
  if (blocks === undefined) return refuse('there are no streams of such blocks', named);
  return { blocks, scale: scale as Streams['scale'] };
}
