import { didYouMean } from '@mezzo/libtorch/nearest';
import { channelsOf, checkedModalities, fitModalities, type Modalities } from '../fusion/modalities.ts';
import { ModelError } from './errors.ts';
import { families } from './families.ts';
import { type ModuleSpec, moduleSpec, type Parameter, type Surroundings } from './modules.ts';
import { chooseScale, type Scale, scaleDepth, scaleWidth } from './scaling.ts';

export type { Scale } from './scaling.ts';

type LayerSource = number | 'input';

export type LayerArg = number | boolean | string | null | readonly number[] | readonly (readonly number[])[];

/** One layer before scaling: `[from, repeats, module, arguments]`. `from` -1 is the previous layer, `input` the image. */
export type LayerRow = readonly [
  from: LayerSource | readonly LayerSource[],
  repeats: number,
  module: string,
  args: readonly LayerArg[],
];

/**
 * A network as data: the form of Ultralytics' model YAML files. Plain JSON, so that a checkpoint carries it.
 * `scales` with the letter `scale`, or the older `depth_multiple` and `width_multiple`, set the size.
 */
export interface ModelTable {
  readonly nc?: number;
  readonly ch?: number;
  /** Sensors whose channels make up the image, for rows of `Modality`. */
  readonly modalities?: Modalities;
  readonly scale?: string;
  readonly scales?: Readonly<Record<string, Scale>>;
  readonly depth_multiple?: number;
  readonly width_multiple?: number;
  readonly max_channels?: number;
  /** Boxes of each head level in pixels, width and height in turn: the head is YOLOv5's, with anchors. */
  readonly anchors?: readonly (readonly number[])[];
  readonly backbone: readonly LayerRow[];
  readonly head: readonly LayerRow[];
}

/** A layer after scaling, ready to be built. */
export interface LayerDescription {
  readonly index: number;
  /** Absolute indices of the layers that feed this one; -1 is the image. */
  readonly from: readonly number[];
  readonly module: string;
  readonly repeats: number;
  readonly inChannels: readonly number[];
  readonly outChannels: number;
  /** Pixels of the image per cell of each input and of the output. */
  readonly inStrides: readonly number[];
  readonly stride: number;
  /** Arguments by name, scaled, defaults filled in. */
  readonly args: Readonly<Record<string, LayerArg>>;
}

export interface ModelDescription {
  readonly name: string;
  readonly nc: number;
  readonly ch: number;
  /** What was resolved, with `nc`, `ch` and `scale` set: resolving it again gives the same network. */
  readonly table: ModelTable;
  readonly layers: readonly LayerDescription[];
}

export interface ResolveOptions {
  /** Number of classes; the table's own otherwise. */
  nc?: number;
  /** Channels of the image, 3 unless the table says otherwise. */
  ch?: number;
  /** Name to show, and to take the scale letter from: `yolov8s.yaml` is scale `s`. */
  name?: string;
}

const TABLE_KEYS = [
  'nc',
  'ch',
  'channels',
  'modalities',
  'scale',
  'scales',
  'depth_multiple',
  'width_multiple',
  'max_channels',
  'anchors',
  'backbone',
  'head',
];
const SCALE_IN_NAME = /yolo(?:v)?\d+([nsmlx])/;

/** The part of a family's name that the size letter follows: `yolov5` of `yolov5u`. */
const SCALED_PART = /^yolo(?:v)?\d+/;

/** Splits `yolov8n` (also `yolov8n.yaml`, `dir/yolov8n-p2.yaml`) into the table's name and the scale letter. */
export function parseModelName(name: string): { family: string; scale: string | undefined } {
  const base = name.replace(/^.*[/\\]/, '').replace(/\.ya?ml$/, '');
  const scale = SCALE_IN_NAME.exec(base)?.[1];
  return { family: base.replace(/(yolo(?:v)?\d+)[nsmlx]/, '$1'), scale };
}

/** Names of all published models that {@link resolveModel} knows: `yolov8n`, `yolov8s`, … */
export function modelNames(): string[] {
  return Object.entries(families).flatMap(([family, table]) =>
    Object.keys(table.scales ?? {}).map((scale) => family.replace(SCALED_PART, `$&${scale}`)),
  );
}

/**
 * Turns a model's name (`yolov8n`) or table (an object in the YAML form) into the list of its layers.
 * Depth and width follow the published rule: n' = max(round(n·depth), 1) for n > 1 and
 * c' = ceil(min(c, maxChannels)·width / 8)·8.
 * @throws {ModelError} `UNKNOWN_MODEL` for a name, `BAD_MODEL` for a table that does not describe a network
 */
export function resolveModel(source: string | object, options: ResolveOptions = {}): ModelDescription {
  const name = options.name ?? (typeof source === 'string' ? source : 'model');
  const parsed = parseModelName(name);
  const table = typeof source === 'string' ? publishedTable(source) : checkedTable(source);
  const nc = classCount(options.nc ?? table.nc);
  const { ch, modalities } = imageOf(table, options.ch);
  const scale = chooseScale(table, parsed.scale);
  const resolved: ModelTable = {
    ...table,
    nc,
    ch,
    ...(modalities === undefined ? {} : { modalities }),
    ...(scale.letter === undefined ? {} : { scale: scale.letter }),
  };
  const net = { nc, ch, modalities, scale: scale.factors, letter: scale.letter, anchors: table.anchors };
  const layers: LayerDescription[] = [];
  for (const row of [...table.backbone, ...table.head]) {
    layers.push(resolveLayer(row, layers, net));
  }
  checkHead(layers);
  return { name: name.replace(/^.*[/\\]/, '').replace(/\.ya?ml$/, ''), nc, ch, table: resolved, layers };
}

/** The image's channels, and how the modalities share them. */
function imageOf(
  table: ModelTable,
  given: number | undefined,
): { ch: number; modalities: Modalities | undefined } {
  const modalities = table.modalities === undefined ? undefined : checkedModalities(table.modalities);
  const ch = positiveInteger('ch', given ?? table.ch ?? (modalities ? channelsOf(modalities) : 3));
  return { ch, modalities: modalities && fitModalities(modalities, ch) };
}

function checkHead(layers: readonly LayerDescription[]): void {
  const heads = layers
    .filter(({ module, index }) => moduleSpec(module, index).head)
    .map(({ index }) => index);
  if (heads.length === 1 && heads[0] === layers.length - 1) return;
  throw new ModelError(
    'BAD_MODEL',
    `model table: the last layer, and only that, must be a head; heads: ${heads.join(', ') || 'none'}`,
  );
}

function publishedTable(name: string): ModelTable {
  const { family, scale } = parseModelName(name);
  const table = families[family];
  if (table === undefined || scale === undefined || table.scales?.[scale] === undefined) {
    throw new ModelError('UNKNOWN_MODEL', `unknown model '${name}'`, {
      hint: `known models: ${modelNames().join(', ')}; or give the path of a .yaml or .safetensors file`,
    });
  }
  return table;
}

function checkedTable(source: object): ModelTable {
  for (const key of Object.keys(source)) {
    if (!TABLE_KEYS.includes(key)) {
      throw new ModelError('BAD_MODEL', `model table: unknown key '${key}'${didYouMean(key, TABLE_KEYS)}`, {
        key,
        hint: `keys: ${TABLE_KEYS.join(', ')}`,
      });
    }
  }
  const { channels, ...rest } = source as ModelTable & { channels?: number };
  for (const part of ['backbone', 'head'] as const) {
    if (!Array.isArray(rest[part]))
      throw new ModelError('BAD_MODEL', `model table: '${part}' must be a list of layers`, { key: part });
  }
  return channels === undefined ? rest : { ...rest, ch: rest.ch ?? channels };
}

/** A file may claim any number; what is made for each class must not take all memory. */
export const MOST_CLASSES = 65_536;

function classCount(value: unknown): number {
  const count = positiveInteger('nc', value);
  if (count <= MOST_CLASSES) return count;
  throw new ModelError('BAD_MODEL', `model table: 'nc' must be at most ${MOST_CLASSES}, got ${count}`, {
    key: 'nc',
  });
}

function positiveInteger(key: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  throw new ModelError(
    'BAD_MODEL',
    `model table: '${key}' must be a positive integer, got ${JSON.stringify(value)}`,
    { key },
  );
}

interface NetContext {
  nc: number;
  ch: number;
  modalities: Modalities | undefined;
  scale: Scale;
  letter: string | undefined;
  anchors: ModelTable['anchors'];
}

/** As {@link describeLayer}; its errors tell which layer they are about. */
function resolveLayer(row: LayerRow, before: readonly LayerDescription[], net: NetContext): LayerDescription {
  try {
    return describeLayer(row, before, net);
  } catch (error) {
    if (error instanceof ModelError) error.layer = before.length;
    throw error;
  }
}

function describeLayer(
  row: LayerRow,
  before: readonly LayerDescription[],
  net: NetContext,
): LayerDescription {
  const index = before.length;
  if (!Array.isArray(row) || row.length !== 4 || !Array.isArray(row[3])) {
    throw new ModelError(
      'BAD_MODEL',
      `layer ${index}: expected [from, repeats, module, [arguments]], got ${JSON.stringify(row)}`,
    );
  }
  const [fromColumn, repeatsColumn, module, argColumn] = row;
  const spec = moduleSpec(module, index);
  const from = [fromColumn].flat().map((source) => absoluteIndex(source, index));
  if (spec.inputs === 'one' && from.length !== 1) {
    throw new ModelError('BAD_MODEL', `layer ${index} (${module}): takes one input, got ${from.length}`);
  }
  if (from.length === 0) throw new ModelError('BAD_MODEL', `layer ${index} (${module}): takes no input`);
  const inChannels = from.map((source) => (source < 0 ? net.ch : before[source]!.outChannels));
  const inStrides = from.map((source) => (source < 0 ? 1 : before[source]!.stride));
  const around: Surroundings = {
    ...{ index, from, inChannels, inStrides },
    scale: net.letter,
    modalities: net.modalities,
    before: new Set(before.map((layer) => layer.module)),
  };
  const named = nameArguments(spec, argColumn, { index, module, net });
  const args = { ...named, ...spec.adapt?.(around, named) };
  const levels = args.anchors;
  if (Array.isArray(levels) && levels.length !== from.length) {
    throw new ModelError(
      'BAD_MODEL',
      `layer ${index} (${module}): anchors of ${levels.length} levels for ${from.length} inputs`,
    );
  }
  const repeats = scaleDepth(positiveInteger(`layer ${index} repeats`, repeatsColumn), net.scale[0]);
  return {
    index,
    from,
    module,
    repeats,
    inChannels,
    outChannels: spec.outChannels(inChannels, args),
    inStrides,
    stride: inStrides[0]! * (spec.strideFactor?.(args) ?? 1),
    args,
  };
}

function absoluteIndex(from: unknown, index: number): number {
  if (from === 'input') return -1;
  const absolute = typeof from === 'number' && from < 0 ? index + from : from;
  const first = index === 0 ? -1 : 0;
  if (typeof absolute === 'number' && Number.isInteger(absolute) && absolute >= first && absolute < index)
    return absolute;
  throw new ModelError('BAD_MODEL', `layer ${index}: 'from' ${JSON.stringify(from)} is not an earlier layer`);
}

const LITERALS: Readonly<Record<string, LayerArg>> = { None: null, True: true, False: false };

function nameArguments(
  spec: ModuleSpec,
  given: readonly LayerArg[],
  at: { index: number; module: string; net: NetContext },
): Record<string, LayerArg> {
  if (given.length > spec.parameters.length) {
    const names = spec.parameters.map((parameter) => parameter.name).join(', ');
    throw new ModelError(
      'BAD_MODEL',
      `layer ${at.index} (${at.module}): ${given.length} arguments, takes ${names}`,
    );
  }
  const named: Record<string, LayerArg> = {};
  spec.parameters.forEach((parameter, i) => {
    const raw = given[i];
    const literal = literalOf(raw, at.net);
    const value = literal === undefined ? parameter.default : literal;
    if (value === undefined || !accepts(parameter, value)) {
      const got = value === undefined ? 'nothing' : JSON.stringify(value);
      throw new ModelError(
        'BAD_MODEL',
        `layer ${at.index} (${at.module}): argument '${parameter.name}' must be ${KINDS[parameter.type][0]}, got ${got}`,
      );
    }
    named[parameter.name] = parameter.type === 'channels' ? scaleWidth(value as number, at.net.scale) : value;
  });
  return named;
}

/** What a word in a row stands for: the table's classes and anchors, and Python's constants. */
function literalOf(raw: LayerArg | undefined, net: NetContext): LayerArg | undefined {
  if (typeof raw !== 'string') return raw;
  if (raw === 'nc') return net.nc;
  if (raw === 'anchors') return net.anchors ?? null;
  return Object.hasOwn(LITERALS, raw) ? LITERALS[raw]! : raw;
}

const isCount = (value: LayerArg): boolean => Number.isInteger(value) && (value as number) > 0;
const isWhole = (value: LayerArg): boolean => Number.isInteger(value) && (value as number) >= 0;
const KINDS: Readonly<
  Record<Parameter['type'], readonly [what: string, accepts: (value: LayerArg) => boolean]>
> = {
  channels: ['a positive integer', isCount],
  integer: ['a positive integer', isCount],
  whole: ['an integer from 0', isWhole],
  fraction: ['a number above 0', (value) => typeof value === 'number' && value > 0],
  boolean: ['true or false', (value) => typeof value === 'boolean'],
  string: ['a string', (value) => typeof value === 'string'],
  anchors: ['a list of widths and heights in pixels for each level', isAnchors],
};

/** Equally many boxes for every level, each of positive sides. */
function isAnchors(value: LayerArg): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  const sizes = new Set(value.map((level) => (Array.isArray(level) ? level.length : 0)));
  const [size = 0] = sizes;
  return sizes.size === 1 && size > 0 && size % 2 === 0 && value.flat().every((side) => side > 0);
}

function accepts(parameter: Parameter, value: LayerArg): boolean {
  return value === null ? parameter.default === null : KINDS[parameter.type][1](value);
}
