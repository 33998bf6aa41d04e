import type { PtTensor } from '@mezzo/torch';
import type { ModelIdentity } from '../engine/checkpoint.ts';
import { MOST_CLASSES, type ModelDescription, modelNames, resolveModel } from '../models/description.ts';
import { numbered } from './described-network.ts';
import { modelShapes } from './model-shapes.ts';

type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * The published model that a dict of tensors belongs to, by names and shapes; undefined when it fits none. Class names
 * are not in such a file.
 */
export function recognisedNetwork(state: ReadonlyMap<string, PtTensor>): ModelIdentity | undefined {
  const shapes: Shapes = new Map([...state].map(([key, { shape }]) => [key, shape]));
  const last = [...shapes.keys()].reduce((most, key) => Math.max(most, layerOf(key)), -1);
  const nc = classCount(shapes, last);
  const ch = shapes.get('model.0.conv.weight')?.[1];
  if (nc !== undefined && ch !== undefined) {
    for (const name of modelNames()) {
      const description = resolveModel(name, { nc, ch });
      if (
        description.layers.length === last + 1 &&
        looksLike(description, shapes) &&
        fits(description, shapes)
      ) {
        return { name, table: description.table, names: numbered(nc) };
      }
    }
  }
  return undefined;
}

const layerOf = (key: string): number => Number(/^model\.(\d+)\./.exec(key)?.[1] ?? -1);

/** From the last convolution of the class branch, or of YOLOv5's three anchors with 5 more outputs each. */
function classCount(shapes: Shapes, last: number): number | undefined {
  const free = shapes.get(`model.${last}.cv3.0.2.weight`)?.[0];
  const anchors = shapes.get(`model.${last}.anchors`)?.[1];
  const outputs = shapes.get(`model.${last}.m.0.weight`)?.[0];
  const count = free ?? (anchors && outputs ? outputs / anchors - 5 : undefined);
  return count !== undefined && Number.isInteger(count) && count > 0 && count <= MOST_CLASSES
    ? count
    : undefined;
}

/** Width and depth, which leave one or two of all models to be compared in full. */
function looksLike({ layers }: ModelDescription, shapes: Shapes): boolean {
  return layers.every(({ index, module, outChannels, repeats }) => {
    if (module === 'Conv') return shapes.get(`model.${index}.conv.weight`)?.[0] === outChannels;
    const blocks = new Set(
      [...shapes.keys()].map((key) => blockOf(key, index)).filter((block) => block !== undefined),
    );
    return index === layers.length - 1 || blocks.size === 0 || blocks.size === repeats;
  });
}

function blockOf(key: string, layer: number): string | undefined {
  const [, index, block] = /^model\.(\d+)\.m\.(\d+)\./.exec(key) ?? [];
  return index === String(layer) ? block : undefined;
}

function fits(description: ModelDescription, shapes: Shapes): boolean {
  const own = modelShapes(description);
  return (
    own.size === shapes.size && [...own].every(([key, shape]) => String(shapes.get(key)) === String(shape))
  );
}
