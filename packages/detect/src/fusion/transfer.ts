import { cat, scope, type Tensor } from '@mezzo/torch';
import type { DetectionModel } from '../models/build.ts';
import type { LayerDescription, ModelDescription } from '../models/description.ts';
import { moduleSpec } from '../models/modules.ts';
import { type TransferReport, transferWeights } from '../models/transfer.ts';
import { FUSED } from './modalities.ts';
import { HEAD_LEVEL, selected } from './streams.ts';

/** A trained network of one stream. */
export interface SingleStream {
  readonly description: ModelDescription;
  readonly weights: Readonly<Record<string, Tensor>>;
}

/**
 * Copies the weights of a network of one stream into every stream of another, layer by layer: of each stream the longest
 * run of layers that the network has too, of the same kind at the same stride. First convolutions are adapted to the
 * stream's channels, head branches go by their stride, and what has another shape stays as it is.
 */
export function transferIntoStreams(model: DetectionModel, source: SingleStream): TransferReport {
  return scope(() => {
    const renamed: Record<string, Tensor> = {};
    const counterpart = counterparts(model.description, source.description);
    for (const key of Object.keys(model.stateDict())) {
      const [, index, rest] = /^model\.(\d+)\.(.*)$/.exec(key)!;
      const layer = model.description.layers[Number(index)]!;
      const twin = counterpart.get(layer.index);
      if (twin === undefined) continue;
      const weight = source.weights[`model.${twin.index}.${branchOf(rest!, layer, twin)}`];
      if (weight === undefined) continue;
      const seen = rest === 'conv.weight' ? modalitiesSeen(model.description, layer) : null;
      renamed[key] = seen === null ? weight : adapted(weight, seen);
    }
    return transferWeights(model, renamed);
  });
}

/** For each layer of the target the layer of the source that it takes its weights from. */
function counterparts(target: ModelDescription, source: ModelDescription): Map<number, LayerDescription> {
  const streams = streamsOf(target);
  const isHead = ({ module, index }: LayerDescription) => moduleSpec(module, index).head === true;
  const own = source.layers.filter((layer) => !isHead(layer));
  const pairs = [...new Set(streams)].flatMap((stream) =>
    inCommon(
      target.layers.filter((layer) => streams[layer.index] === stream && !isHead(layer)),
      own,
    ),
  );
  const heads = [target, source].map(({ layers }) => layers.at(-1)!) as [LayerDescription, LayerDescription];
  if (heads[0].module === heads[1].module) pairs.push(heads);
  return new Map(pairs.map(([layer, twin]) => [layer.index, twin]));
}

/** The stream that each layer goes on: that of its first input. */
function streamsOf({ layers }: ModelDescription): string[] {
  const streams: string[] = [];
  for (const { from, args } of layers) {
    streams.push(selected(args) ?? (from[0]! < 0 ? FUSED : streams[from[0]!]!));
  }
  return streams;
}

/** Longest common subsequence, as early in both lists as can be. */
function inCommon(
  a: readonly LayerDescription[],
  b: readonly LayerDescription[],
): [LayerDescription, LayerDescription][] {
  const same = (i: number, j: number) => a[i]!.module === b[j]!.module && a[i]!.stride === b[j]!.stride;
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i]![j] = same(i, j)
        ? longest[i + 1]![j + 1]! + 1
        : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!);
    }
  }
  const pairs: [LayerDescription, LayerDescription][] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (same(i, j)) pairs.push([a[i++]!, b[j++]!]);
    else if (longest[i + 1]![j]! >= longest[i]![j + 1]!) i += 1;
    else j += 1;
  }
  return pairs;
}

/** The same part of the source's layer; a branch of a head is that of the level with the same stride. */
function branchOf(rest: string, layer: LayerDescription, twin: LayerDescription): string {
  const level = moduleSpec(layer.module, layer.index).head ? HEAD_LEVEL.exec(rest)?.[1] : undefined;
  if (level === undefined) return rest;
  const own = twin.inStrides.indexOf(layer.inStrides[Number(level)]!);
  return rest.replace(`.${level}`, `.${own}`);
}

/** Channels of each modality that a layer reads from the image; null for a layer that reads other layers. */
function modalitiesSeen({ table, layers }: ModelDescription, { from }: LayerDescription): number[] | null {
  const before = from[0]! < 0 ? null : layers[from[0]!]!;
  if (before === null) return Object.values(table.modalities ?? {});
  return selected(before.args) === undefined ? null : [before.outChannels];
}

/**
 * A first convolution for other channels, with the same answer to a grey picture: a modality with as many channels as
 * before keeps the weights, one with others has their mean in each; several modalities share the answer.
 */
function adapted(weight: Tensor, modalities: readonly number[]): Tensor {
  const before = weight.size(1);
  const parts = modalities.map((channels) =>
    channels === before ? weight : weight.sum([1], true).div(channels).expand([-1, channels, -1, -1]),
  );
  return cat(parts, 1).div(modalities.length);
}
