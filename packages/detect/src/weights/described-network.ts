import path from 'node:path';
import { MezzoError, type PtObject, type PtTensor, type PtValue, TorchError } from '@mezzo/torch';
import type { ModelIdentity } from '../engine/checkpoint.ts';
import { type ModelDescription, resolveModel } from '../models/description.ts';
import { modelShapes } from './model-shapes.ts';

/** Keys of a description that say nothing about the network, or what it has anyway. */
const WITHOUT_EFFECT: Readonly<Record<string, (value: unknown) => boolean>> = {
  yaml_file: () => true,
  end2end: (value) => value === false,
  reg_max: (value) => value === 16,
  activation: (value) => value === null,
};
const isWithoutEffect = (key: string, value: unknown): boolean =>
  Object.hasOwn(WITHOUT_EFFECT, key) && WITHOUT_EFFECT[key]!(value);

/** Lists in a description are three deep: rows, their arguments, anchors in those. */
const DEEPEST = 8;
/** Values in a description; the longest published one has about 300. */
const LARGEST = 100_000;

/**
 * The network that an Ultralytics or YOLOv5 object describes itself to be: its `yaml`, classes and names.
 * @throws {MezzoError} UNSUPPORTED_WEIGHTS without a description, BAD_MODEL with one that is not known here
 */
export function describedNetwork(
  file: string,
  module: PtObject,
  state: ReadonlyMap<string, PtTensor>,
): ModelIdentity {
  const yaml = module.attribute('yaml');
  if (!(yaml instanceof Map)) {
    throw new MezzoError('UNSUPPORTED_WEIGHTS', `${file}: its network does not carry its description`, {
      hint: 'save its state dict in Python, and give that: torch.save(model.state_dict(), path)',
    });
  }
  const table = Object.fromEntries(
    Object.entries(plain(yaml, file) as Record<string, unknown>).filter(
      ([key, value]) => !isWithoutEffect(key, value),
    ),
  );
  const names = classNames(module.attribute('names'));
  const nc = firstCount(module.attribute('nc'), table.nc) ?? names?.length;
  const ch = state.get('model.0.conv.weight')?.shape[1];
  const name = modelName(yaml, file);
  const description = resolveModel(table, {
    name,
    ...(nc === undefined ? {} : { nc }),
    ...(ch === undefined ? {} : { ch }),
  });
  checkSize(file, description, state);
  const { nc: count, table: resolved } = description;
  return { name, table: resolved, names: names?.length === count ? names : numbered(count) };
}

/** How many times as many numbers as there are in the file a network may have before it is built to compare. */
const SIZE_MARGIN = 4;

/**
 * A description far larger than the tensors beside it would take all memory before the two are compared.
 * @throws {MezzoError} UNSUPPORTED_WEIGHTS
 */
function checkSize(file: string, description: ModelDescription, state: ReadonlyMap<string, PtTensor>): void {
  const storages = new Set(Array.from(state.values(), ({ storage }) => storage));
  const held = [...storages].reduce((sum, { elements }) => sum + elements, 0);
  const blocks = description.layers.reduce((sum, { repeats }) => sum + repeats, 0);
  if (blocks <= state.size && valuesOf(file, description) <= SIZE_MARGIN * held) return;
  throw new MezzoError(
    'UNSUPPORTED_WEIGHTS',
    `${file}: it describes a network far larger than the ${state.size} tensors it holds`,
  );
}

function valuesOf(file: string, description: ModelDescription): number {
  try {
    const shapes = [...modelShapes(description).values()];
    return shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
  } catch (cause) {
    if (!(cause instanceof TorchError)) throw cause;
    throw new MezzoError(
      'UNSUPPORTED_WEIGHTS',
      `${file}: the network it describes cannot be built: ${cause.message}`,
      {
        cause,
      },
    );
  }
}

/** `0`, `1`, …: the names of classes that have none. */
export const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

function modelName(yaml: ReadonlyMap<PtValue, PtValue>, file: string): string {
  const described = yaml.get('yaml_file');
  const source = typeof described === 'string' ? described : file;
  return path.basename(source).replace(/\.(ya?ml|pt)$/, '');
}

const firstCount = (...values: unknown[]): number | undefined =>
  values.find((value): value is number => Number.isInteger(value) && (value as number) > 0);

/** Names by id, from a list, or a dict of ids from 0. */
function classNames(value: PtValue | undefined): string[] | undefined {
  const names = value instanceof Map ? Array.from(value, (_, i) => value.get(i)) : value;
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) return undefined;
  return names as string[];
}

/** The JSON form of plain data. Lists may be shared in the file, so what is written out is counted. */
function plain(value: PtValue, file: string): unknown {
  let items = 0;
  const write = (part: PtValue, depth: number): unknown => {
    items += 1;
    if (part === null || ['string', 'number', 'boolean'].includes(typeof part)) return part;
    if (depth < DEEPEST && items < LARGEST) {
      if (Array.isArray(part)) return part.map((item) => write(item, depth + 1));
      if (part instanceof Map) {
        return Object.fromEntries([...part].map(([key, item]) => [keyOf(key), write(item, depth + 1)]));
      }
    }
    return refuse();
  };
  const keyOf = (key: PtValue): string =>
    typeof key === 'string' || typeof key === 'number' ? String(key) : refuse();
  const refuse = (): never => {
    throw new MezzoError('UNSUPPORTED_WEIGHTS', `${file}: the description of its network is not plain data`);
  };
  return write(value, 0);
}
