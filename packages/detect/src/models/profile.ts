import type { nn } from '@mezzo/torch';
import type { DetectionModel } from './build.ts';
import type { LayerArg, LayerDescription } from './description.ts';
import { DetectionHead } from './head.ts';

export interface LayerProfile {
  readonly index: number;
  readonly from: readonly number[];
  readonly module: string;
  readonly repeats: number;
  readonly args: Readonly<Record<string, LayerArg>>;
  readonly outChannels: number;
  /** Pixels of the image per cell of the output; the finest level's for the head. */
  readonly stride: number;
  readonly params: number;
  readonly gflops: number;
}

export interface ModelProfile {
  readonly name: string;
  readonly layers: readonly LayerProfile[];
  readonly params: number;
  /** Parameters that receive a gradient. */
  readonly gradients: number;
  /** 10^9 additions and multiplications of the convolutions for one image: 2 per multiply-accumulate. */
  readonly gflops: number;
}

/** Counts parameters and convolution work of every layer for one image of `imgsz` x `imgsz` pixels. */
export function profileModel(model: DetectionModel, imgsz = 640): ModelProfile {
  const layers = model.description.layers.map((layer) =>
    profileLayer(layer, model.model.at(layer.index), imgsz),
  );
  const parameters = [...model.parameters()];
  return {
    name: model.description.name,
    layers,
    params: sum(parameters.map((parameter) => parameter.numel())),
    gradients: sum(
      parameters.filter((parameter) => parameter.requiresGrad).map((parameter) => parameter.numel()),
    ),
    gflops: sum(layers.map((layer) => layer.gflops)),
  };
}

function profileLayer(layer: LayerDescription, module: nn.Module, imgsz: number): LayerProfile {
  // Every convolution of a layer writes maps of the layer's own stride, but the head's branches have one each.
  const macs =
    module instanceof DetectionHead
      ? sum(module.strides.map((stride, level) => convolutionMacs(module.branches(level), imgsz / stride)))
      : convolutionMacs([module], imgsz / layer.stride);
  const { index, from, repeats, args, outChannels, stride } = layer;
  const params = sum([...module.parameters()].map((parameter) => parameter.numel()));
  return {
    index,
    from,
    module: layer.module,
    repeats,
    args,
    outChannels,
    stride,
    params,
    gflops: (2 * macs) / 1e9,
  };
}

/** A convolution multiplies its whole weight once per output cell. */
function convolutionMacs(modules: readonly nn.Module[], side: number): number {
  const weights = modules.flatMap((module) => [...module.parameters()]).filter((weight) => weight.ndim === 4);
  return sum(weights.map((weight) => weight.numel())) * side * side;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
