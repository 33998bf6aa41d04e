import { nn } from '@mezzo/torch';
import { C2f, Concat, Conv, SPPF, Upsample } from './blocks.ts';
import type { LayerArg, LayerDescription } from './description.ts';
import { Detect } from './detect.ts';
import { ModelError } from './errors.ts';

/** A positional argument of a layer row. Without a default it must be given; `null` is allowed where it is the default. */
export interface Parameter {
  readonly name: string;
  /** `channels` are scaled by the width multiple. */
  readonly type: 'channels' | 'integer' | 'boolean' | 'string';
  readonly default?: LayerArg;
}

/** What the resolver and the builder need to know of a kind of layer. */
export interface ModuleSpec {
  readonly inputs: 'one' | 'many';
  readonly parameters: readonly Parameter[];
  readonly outChannels: (inChannels: readonly number[], args: Readonly<Record<string, LayerArg>>) => number;
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
    [integer('kernel', 1), integer('stride', 1), integer('padding', null), integer('groups', 1)],
    (c1, c2, { args }) =>
      new Conv(c1, c2, args.kernel as number, {
        stride: args.stride as number,
        padding: (args.padding as number | null) ?? undefined,
        groups: args.groups as number,
      }),
    { strideFactor: (args) => args.stride as number },
  ),
  C2f: block(
    [{ name: 'shortcut', type: 'boolean', default: false }],
    (c1, c2, { repeats, args }) => new C2f(c1, c2, repeats, args.shortcut as boolean),
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
    build: ({ index, args }) => {
      if (args.dimension !== 1)
        throw new ModelError('BAD_MODEL', `layer ${index} (Concat): only channels (1) can be joined`);
      return new Concat();
    },
  },
  Detect: {
    inputs: 'many',
    head: true,
    parameters: [integer('classes')],
    outChannels: (_inChannels, args) => 4 + (args.classes as number),
    build: ({ inChannels, inStrides, args }) => new Detect(args.classes as number, inChannels, inStrides),
  },
};

/** @throws {ModelError} `BAD_MODEL` when there is no such module */
export function moduleSpec(module: string, index: number): ModuleSpec {
  const spec = Object.hasOwn(specs, module) ? specs[module] : undefined;
  if (spec === undefined) {
    throw new ModelError('BAD_MODEL', `layer ${index}: unknown module '${module}'`, {
      hint: `modules: ${Object.keys(specs).join(', ')}`,
    });
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
