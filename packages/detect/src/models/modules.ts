import { didYouMean } from '@mezzo/libtorch/nearest';
import { nn } from '@mezzo/torch';
import { FUSION_LAYERS } from '../fusion/layers.ts';
import type { Modalities } from '../fusion/modalities.ts';
import { AnchorDetect, type Anchors } from './anchor-detect.ts';
import { C2PSA } from './attention.ts';
import { Concat, Conv, SPPF, Upsample } from './blocks.ts';
import { C2f, C3, C3k2 } from './cross-stage.ts';
import type { LayerArg, LayerDescription } from './description.ts';
import { Detect } from './detect.ts';
import { ModelError } from './errors.ts';

/** A positional argument of a layer row. Without a default it must be given; `null` is allowed where it is the default. */
export interface Parameter {
  readonly name: string;
  /** `channels` are scaled by the width multiple; `whole` numbers begin at 0, integers at 1. */
  readonly type: 'channels' | 'integer' | 'whole' | 'fraction' | 'boolean' | 'string' | 'anchors';
  readonly default?: LayerArg;
}

/** The network around a layer. */
export interface Surroundings extends Pick<LayerDescription, 'index' | 'from' | 'inChannels' | 'inStrides'> {
  /** The network's size letter. */
  readonly scale: string | undefined;
  readonly modalities: Modalities | undefined;
  /** Modules of the layers before. */
  readonly before: ReadonlySet<string>;
}

/** What the resolver and the builder need to know of a kind of layer. */
export interface ModuleSpec {
  readonly inputs: 'one' | 'many';
  readonly parameters: readonly Parameter[];
  readonly outChannels: (inChannels: readonly number[], args: Readonly<Record<string, LayerArg>>) => number;
  /** Arguments that follow from the network around the layer. */
  readonly adapt?: (net: Surroundings, args: Readonly<Record<string, LayerArg>>) => Record<string, LayerArg>;
  /** Output stride over input stride; 1 when absent. */
  readonly strideFactor?: (args: Readonly<Record<string, LayerArg>>) => number;
  /** The module repeats its inner blocks; otherwise `repeats` of it follow one another. */
  readonly innerRepeats?: true;
  /** Ends the network: exactly the last layer is one. */
  readonly head?: true;
  readonly build: (layer: LayerDescription) => nn.Module;
}

const channels: Parameter = { name: 'channels', type: 'channels' };
const integer = (name: string, value?: LayerArg): Parameter => ({ name, type: 'integer', default: value });
const boolean = (name: string, value: boolean): Parameter => ({ name, type: 'boolean', default: value });
const fraction = (name: string, value: number): Parameter => ({ name, type: 'fraction', default: value });

/** Sizes whose C3k2 blocks have C3 blocks inside, whatever the table says: as published. */
const C3K_SIZES = ['m', 'l', 'x'];

/** A convolutional block: one input, `channels` first among its arguments. */
function block(
  parameters: readonly Parameter[],
  build: (inChannels: number, outChannels: number, layer: LayerDescription) => nn.Module,
  extra: Partial<ModuleSpec> = {},
): ModuleSpec {
  return {
    inputs: 'one',
    parameters: [channels, ...parameters],
    outChannels: (_inChannels, args) => args.channels as number,
    build: (layer) => build(layer.inChannels[0]!, layer.outChannels, layer),
    ...extra,
  };
}

const specs: Readonly<Record<string, ModuleSpec>> = {
  Conv: block(
    [
      integer('kernel', 1),
      integer('stride', 1),
      { name: 'padding', type: 'whole', default: null },
      integer('groups', 1),
    ],
    (c1, c2, { args }) =>
      new Conv(c1, c2, args.kernel as number, {
        stride: args.stride as number,
        padding: (args.padding as number | null) ?? undefined,
        groups: args.groups as number,
      }),
    { strideFactor: (args) => args.stride as number },
  ),
  C2f: block(
    [boolean('shortcut', false)],
    (c1, c2, { repeats, args }) => new C2f(c1, c2, repeats, args.shortcut as boolean),
    { innerRepeats: true },
  ),
  C3: block(
    [boolean('shortcut', true)],
    (c1, c2, { repeats, args }) => new C3(c1, c2, repeats, { shortcut: args.shortcut as boolean }),
    { innerRepeats: true },
  ),
  C3k2: block(
    [boolean('c3k', false), fraction('expansion', 0.5)],
    (c1, c2, { repeats, args }) =>
      new C3k2(c1, c2, repeats, { c3k: args.c3k as boolean, expansion: args.expansion as number }),
    {
      innerRepeats: true,
      adapt: ({ scale }): Record<string, LayerArg> =>
        scale !== undefined && C3K_SIZES.includes(scale) ? { c3k: true } : {},
    },
  ),
  C2PSA: block(
    [fraction('expansion', 0.5)],
    (c1, c2, { index, repeats, args }) => {
      if (c1 !== c2) {
        throw new ModelError(
          'BAD_MODEL',
          `layer ${index} (C2PSA): keeps its channels, got ${c1} in and ${c2} out`,
        );
      }
      if (!C2PSA.divides(c2, args.expansion as number)) {
        throw new ModelError(
          'BAD_MODEL',
          `layer ${index} (C2PSA): ${c2} channels cannot be shared evenly among its attention heads`,
          { hint: 'another width multiple, or channels that are a multiple of 128' },
        );
      }
      return new C2PSA(c2, repeats, args.expansion as number);
    },
    { innerRepeats: true },
  ),
  SPPF: block([integer('kernel', 5)], (c1, c2, { args }) => new SPPF(c1, c2, args.kernel as number)),
  'nn.Upsample': {
    inputs: 'one',
    parameters: [
      { name: 'size', type: 'integer', default: null },
      integer('scale'),
      { name: 'mode', type: 'string', default: 'nearest' },
    ],
    outChannels: ([c1]) => c1!,
    strideFactor: (args) => 1 / (args.scale as number),
    build: ({ index, args }) => {
      if (args.size !== null || args.mode !== 'nearest') {
        throw new ModelError(
          'BAD_MODEL',
          `layer ${index} (nn.Upsample): only [None, scale, "nearest"] is supported`,
        );
      }
      return new Upsample(args.scale as number);
    },
  },
  Concat: {
    inputs: 'many',
    parameters: [integer('dimension', 1)],
    outChannels: (inChannels) => inChannels.reduce((sum, c) => sum + c, 0),
    build: ({ index, args, inStrides }) => {
      if (args.dimension !== 1)
        throw new ModelError('BAD_MODEL', `layer ${index} (Concat): only channels (1) can be joined`);
      if (new Set(inStrides).size > 1) {
        throw new ModelError(
          'BAD_MODEL',
          `layer ${index} (Concat): its inputs have strides ${inStrides.join(' and ')}, and so maps of different sizes`,
        );
      }
      return new Concat();
    },
  },
  ...FUSION_LAYERS,
  Detect: {
    inputs: 'many',
    head: true,
    parameters: [integer('classes'), { name: 'anchors', type: 'anchors', default: null }],
    outChannels: (_inChannels, args) => 4 + (args.classes as number),
    // Networks of C3k2 blocks have the light class branch: as published.
    adapt: ({ before }) => ({ light: before.has('C3k2') }),
    build: ({ inChannels, inStrides, args }) => {
      const { classes, anchors, light } = args as {
        classes: number;
        anchors: Anchors | null;
        light: boolean;
      };
      return anchors === null
        ? new Detect(classes, inChannels, inStrides, light)
        : new AnchorDetect(classes, inChannels, inStrides, anchors);
    },
  },
};

/** @throws {ModelError} `BAD_MODEL` when there is no such module */
export function moduleSpec(module: string, index: number): ModuleSpec {
  const spec = Object.hasOwn(specs, module) ? specs[module] : undefined;
  if (spec === undefined) {
    throw new ModelError(
      'BAD_MODEL',
      `layer ${index}: unknown module '${module}'${didYouMean(String(module), Object.keys(specs))}`,
      {
        hint: `modules: ${Object.keys(specs).join(', ')}`,
      },
    );
  }
  return spec;
}

/** The module of a resolved layer, with PyTorch's default initialisation. */
export function buildLayer(layer: LayerDescription): nn.Module {
  const spec = moduleSpec(layer.module, layer.index);
  if (spec.innerRepeats || layer.repeats === 1) return spec.build(layer);
  const following = { ...layer, inChannels: [layer.outChannels], inStrides: [layer.stride] };
  const rest = Array.from({ length: layer.repeats - 1 }, () => spec.build(following));
  return new nn.Sequential(...([spec.build(layer), ...rest] as nn.Layer[]));
}
