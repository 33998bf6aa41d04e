import { didYouMean } from '@mezzo/libtorch/nearest';
import { ModelError } from '../models/errors.ts';

/** Names of the sensors whose channels make up the image, in their order, and how many channels each has. */
export type Modalities = Readonly<Record<string, number>>;

/** What a layer is called that pixels of several modalities reach. */
export const FUSED = 'fused';

/** @throws {ModelError} `BAD_MODEL` for what is not a list of names with their channels */
export function checkedModalities(value: unknown): Modalities {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const good = entries.every(
    ([name, channels]) =>
      name !== FUSED && /^[a-z]\w*$/i.test(name) && Number.isInteger(channels) && channels > 0,
  );
  if (Array.isArray(value) || entries.length === 0 || !good) {
    throw new ModelError(
      'BAD_MODEL',
      `model table: 'modalities' must be names with their channels, as in {rgb: 3, ir: 1}; got ${JSON.stringify(value)}`,
      { key: 'modalities' },
    );
  }
  return value as Modalities;
}

/**
 * The modalities of an image of `channels`: the last one has what the others leave, so that one model takes infrared
 * of one channel or of three.
 * @throws {ModelError} `BAD_MODEL` when nothing is left
 */
export function fitModalities(modalities: Modalities, channels: number): Modalities {
  const names = Object.keys(modalities);
  const last = names.at(-1)!;
  const rest = channels - names.slice(0, -1).reduce((sum, name) => sum + modalities[name]!, 0);
  if (rest > 0) return { ...modalities, [last]: rest };
  throw new ModelError(
    'BAD_MODEL',
    `an image of ${channels} channel${channels === 1 ? '' : 's'} has none left for '${last}', the last of the model's modalities (${listed(modalities)})`,
    { key: 'modalities', hint: 'this model is trained on pairs of images: mezzo train-dual' },
  );
}

/** Channels of all modalities together. */
export const channelsOf = (modalities: Modalities): number =>
  Object.values(modalities).reduce((sum, channels) => sum + channels, 0);

/**
 * Where a modality lies in the image.
 * @throws {ModelError} `BAD_MODEL` for a name that the table does not have
 */
export function placeOf(
  modalities: Modalities | undefined,
  name: string,
  layer: number,
): { first: number; channels: number } {
  const known = Object.keys(modalities ?? {});
  const at = known.indexOf(name);
  if (at < 0) {
    throw new ModelError(
      'BAD_MODEL',
      `layer ${layer} (Modality): unknown modality '${name}'${didYouMean(name, known)}`,
      { hint: "the table's modalities are its key of that name: modalities: {rgb: 3, ir: 1}" },
    );
  }
  const before = known.slice(0, at).reduce((sum, each) => sum + modalities![each]!, 0);
  return { first: before, channels: modalities![name]! };
}

const listed = (modalities: Modalities): string =>
  Object.entries(modalities)
    .map(([name, channels]) => `${name}: ${channels}`)
    .join(', ');
