import { ModelError } from '../models/errors.ts';
import type { ModuleSpec, Surroundings } from '../models/modules.ts';
import { CrossAttention } from './cross-attention.ts';
import { GatedFusion } from './gated-fusion.ts';
import { placeOf } from './modalities.ts';
import { Modality } from './modality.ts';
import { Present } from './present.ts';

/** Kinds of layers for networks of several modalities; what joins without weights is `Concat`. */
export const FUSION_LAYERS: Readonly<Record<string, ModuleSpec>> = {
  Modality: {
    inputs: 'one',
    parameters: [{ name: 'modality', type: 'string' }],
    adapt: ({ index, from, modalities }, { modality }) => {
      require(from[0] === -1, { index }, 'Modality', 'reads the image: [input, 1, Modality, [rgb]]');
      return placeOf(modalities, modality as string, index);
    },
    outChannels: (_inChannels, args) => args.channels as number,
    build: ({ args }) => new Modality(args.first as number, args.channels as number),
  },
  Present: {
    inputs: 'many',
    parameters: [],
    adapt: (net) => {
      require(net.from.length ===
        2, net, 'Present', `takes a map and the pixels of its modality, got ${maps(net)}`);
      return {};
    },
    outChannels: ([c1]) => c1!,
    build: () => new Present(),
  },
  GatedFusion: {
    inputs: 'many',
    parameters: [],
    adapt: (net) => {
      const alike = new Set(net.inChannels).size === 1 && new Set(net.inStrides).size === 1;
      require(alike && net.from.length > 1, net, 'GatedFusion', `takes maps of one shape, got ${maps(net)}`);
      return {};
    },
    outChannels: ([c1]) => c1!,
    build: ({ inChannels }) => new GatedFusion(inChannels[0]!, inChannels.length),
  },
  CrossAttention: {
    inputs: 'many',
    parameters: [],
    adapt: (net) => {
      const pair = net.from.length === 2 && net.inStrides[0] === net.inStrides[1];
      require(pair, net, 'CrossAttention', `takes two maps of one size, got ${maps(net)}`);
      return {};
    },
    outChannels: ([c1]) => c1!,
    build: ({ inChannels }) => new CrossAttention(inChannels[0]!, inChannels[1]!),
  },
};

function require(holds: boolean, { index }: Pick<Surroundings, 'index'>, module: string, what: string): void {
  if (!holds) throw new ModelError('BAD_MODEL', `layer ${index} (${module}): ${what}`);
}

const maps = ({ inChannels, inStrides }: Surroundings): string =>
  inChannels.map((channels, i) => `${channels} channels at stride ${inStrides[i]}`).join(', ');
