import { didYouMean } from '@mezzo/libtorch/nearest';
import { roundHalfEven } from '../rounding.ts';
import { ModelError } from './errors.ts';
import { families } from './families.ts';
import { type ModuleSpec, moduleSpec, type Parameter } from './modules.ts';

export type LayerArg = number | boolean | string | null | readonly number[] | readonly (readonly number[])[];

/** One layer before scaling: `[from, repeats, module, arguments]`. `from` -1 is the previous layer. */
export type LayerRow = readonly [
  from: number | readonly number[],
  repeats: number,
  module: string,
  args: readonly LayerArg[],
];

/** Depth multiple, width multiple, largest number of channels before the width multiple. */
export type Scale = readonly [depth: number, width: number, maxChannels?: number];

/**
 * A network as data: the form of Ultralytics' model YAML files. Plain JSON, so that a checkpoint carries it.
 * `scales` with the letter `scale`, or the older `depth_multiple` and `width_multiple`, set the size.
 */
export interface ModelTable {
  readonly nc?: number;
  readonly ch?: number;
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
  const nc = positiveInteger('nc', options.nc ?? table.nc);
  const ch = positiveInteger('ch', options.ch ?? table.ch ?? 3);
  const scale = chooseScale(table, parsed.scale);
  const resolved: ModelTable = {
    ...table,
    nc,
    ch,
    ...(scale.letter === undefined ? {} : { scale: scale.letter }),
  };
  const net = { nc, ch, scale: scale.factors, letter: scale.letter, anchors: table.anchors };
  const layers: LayerDescription[] = [];
  for (const row of [...table.backbone, ...table.head]) {
    layers.push(resolveLayer(row, layers, net));
  }
  checkHead(layers);
  return { name: name.replace(/^.*[/\\]/, '').replace(/\.ya?ml$/, ''), nc, ch, table: resolved, layers };
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

function positiveInteger(key: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  throw new ModelError(
    'BAD_MODEL',
    `model table: '${key}' must be a positive integer, got ${JSON.stringify(value)}`,
    { key },
  );
}

function chooseScale(
  table: ModelTable,
  letterOfName: string | undefined,
): { letter?: string; factors: Scale } {
  if (table.scales === undefined) {
    return { factors: [table.depth_multiple ?? 1, table.width_multiple ?? 1, table.max_channels] };
  }
  const letter = table.scale ?? letterOfName ?? Object.keys(table.scales)[0] ?? '';
  const factors = table.scales[letter];
  if (!Array.isArray(factors) || factors.length < 2 || !factors.every(Number.isFinite)) {
    throw new ModelError(
      'BAD_MODEL',
      `model table: no scale '${letter}' of the form [depth, width, max channels]`,
      {
        key: 'scales',
        hint: `scales: ${Object.keys(table.scales).join(', ')}`,
      },
    );
  }
  return { letter, factors: factors as unknown as Scale };
}

interface NetContext {
  nc: number;
  ch: number;
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
  const inChannels = from.map((source) => (source < 0 ? net.ch : before[source]!.outChannels));
  const inStrides = from.map((source) => (source < 0 ? 1 : before[source]!.stride));
  const around = { scale: net.letter, before: new Set(before.map((layer) => layer.module)) };
  const args = { ...nameArguments(spec, argColumn, { index, module, net }), ...spec.adapt?.(around) };
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
  return raw in LITERALS ? LITERALS[raw]! : raw;
}

const isCount = (value: LayerArg): boolean => Number.isInteger(value) && (value as number) > 0;
const KINDS: Readonly<
  Record<Parameter['type'], readonly [what: string, accepts: (value: LayerArg) => boolean]>
> = {
  channels: ['a positive integer', isCount],
  integer: ['a positive integer', isCount],
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

function scaleDepth(repeats: number, depth: number): number {
  return repeats === 1 ? 1 : Math.max(roundHalfEven(repeats * depth), 1);
}

function scaleWidth(channels: number, [, width, maxChannels = Infinity]: Scale): number {
  return Math.ceil((Math.min(channels, maxChannels) * width) / 8) * 8;
}
