import type { LayerDescription, ModelDescription } from '../models/description.ts';
import { moduleSpec } from '../models/modules.ts';
import { FUSED } from './modalities.ts';

/** A branch of a head in a module's name: its level. */
export const HEAD_LEVEL = /^(?:cv2|cv3|m)\.(\d+)/;

/**
 * The stream that a part of a network belongs to: the name of the modality whose pixels alone reach it, or `fused`; of a
 * head with maps of one modality, each level belongs to that modality.
 * @param name of a module, parameter or buffer: `model.7.cv1`, `model.7.cv1.conv.weight`
 * @returns null for a network without modalities, and for names of no layer
 */
export function streamOf(description: ModelDescription, name: string): string | null {
  if (description.table.modalities === undefined) return null;
  const [, index, rest = ''] = /^model\.(\d+)(?:\.(.*))?$/.exec(name) ?? [];
  const layer = index === undefined ? undefined : description.layers[Number(index)];
  if (layer === undefined) return null;
  const reaching = modalitiesReaching(description);
  const level = moduleSpec(layer.module, layer.index).head ? HEAD_LEVEL.exec(rest)?.[1] : undefined;
  const source = level === undefined ? undefined : layer.from[Number(level)];
  const [only, ...others] = source === undefined ? reaching[layer.index]! : reaching[source]!;
  return others.length === 0 ? only! : FUSED;
}

/** The streams of parameters, buffers or layers, each once; none for a network without modalities. */
export function streamsOf(description: ModelDescription, names: readonly string[]): string[] {
  return [...new Set(names.flatMap((name) => streamOf(description, name) ?? []))];
}

/** For each layer the modalities whose pixels reach it. */
export function modalitiesReaching({ table, layers }: ModelDescription): readonly (readonly string[])[] {
  const all = Object.keys(table.modalities ?? {});
  const reaching: string[][] = [];
  for (const { from, args } of layers) {
    const chosen = selected(args);
    const found = new Set(from.flatMap((source) => (source < 0 ? all : reaching[source]!)));
    reaching.push(chosen === undefined ? all.filter((name) => found.has(name)) : [chosen]);
  }
  return reaching;
}

/** The modality that a row of `Modality` selects. */
export const selected = (args: LayerDescription['args']): string | undefined =>
  args.modality as string | undefined;
