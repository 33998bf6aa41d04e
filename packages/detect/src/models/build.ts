import { nn, scope, type Tensor } from '@mezzo/torch';
import { Conv } from './blocks.ts';
import type { HeadMaps } from './decode.ts';
import {
  type LayerDescription,
  type ModelDescription,
  type ResolveOptions,
  resolveModel,
} from './description.ts';
import { ModelError } from './errors.ts';
import { DetectionHead } from './head.ts';
import { buildLayer, moduleSpec } from './modules.ts';

export interface BuildOptions {
  /** Starting bias of the box bins: 2 in recipe 8.4 (default), 1 in 8.3. */
  boxBias?: number;
  /** Class names by id; default `0`, `1`, … */
  names?: readonly string[];
}

export interface Prediction {
  /** [B, 4 + C, A] fp32: centre x, y, width, height in pixels, class probabilities. */
  readonly decoded: Tensor;
  readonly maps: HeadMaps;
}

/** Sees the output of every layer before the head; a tensor may be freed when the visitor returns. */
export type LayerVisitor = (layer: LayerDescription, output: Tensor) => void;

/** A detector built from a description; its state dict has the published names, `model.0.conv.weight`, … */
export class DetectionModel extends nn.Module {
  readonly model: nn.ModuleList<nn.Module>;
  readonly description: ModelDescription;
  readonly names: readonly string[];
  private readonly lastReader: readonly number[];

  constructor(description: ModelDescription, options: BuildOptions = {}) {
    super();
    const names = options.names ?? Array.from({ length: description.nc }, (_, i) => String(i));
    if (names.length !== description.nc) {
      throw new ModelError(
        'BAD_MODEL',
        `${names.length} class names for a model of ${description.nc} classes`,
      );
    }
    this.model = new nn.ModuleList(description.layers.map(buildLayer));
    this.description = description;
    this.names = names;
    this.lastReader = lastReaders(description.layers);
    this.head.initialiseBias(options.boxBias ?? 2);
  }

  /** Number of classes. */
  get nc(): number {
    return this.description.nc;
  }

  /** Channels of the image. */
  get ch(): number {
    return this.description.ch;
  }

  /** Pixels per cell of each head level. */
  get strides(): readonly number[] {
    return this.head.strides;
  }

  get head(): DetectionHead {
    const head = this.model.at(-1);
    if (!(head instanceof DetectionHead))
      throw new ModelError('BAD_MODEL', 'the last layer must be a detection head');
    return head;
  }

  /**
   * Images [B, ch, H, W] in 0 … 1 (H and W multiples of the largest stride) to raw maps in training mode, to
   * predictions in evaluation mode.
   */
  override forward(images: Tensor): HeadMaps | Prediction {
    return this.training ? this.maps(images) : this.predict(images);
  }

  /** Raw maps of the head, in either mode. */
  maps(images: Tensor, visit?: LayerVisitor): HeadMaps {
    this.checkInput(images.shape);
    return scope(() => {
      const outputs: Tensor[] = [];
      const read = (index: number): Tensor => (index < 0 ? images : outputs[index]!);
      for (const layer of this.description.layers.slice(0, -1)) {
        const output = applyLayer(layer, this.model.at(layer.index), layer.from.map(read));
        outputs.push(output);
        visit?.(layer, output);
        // What no later layer reads goes at once: autograd holds what it needs, and the peak stays low.
        for (const source of layer.from) {
          if (source >= 0 && this.lastReader[source] === layer.index) outputs[source]!.dispose();
        }
      }
      return this.head.forward(this.description.layers.at(-1)!.from.map(read));
    });
  }

  private checkInput(shape: readonly number[]): void {
    const [, channels, height = 0, width = 0] = shape;
    const step = Math.max(...this.strides);
    if (shape.length === 4 && channels === this.ch && height % step === 0 && width % step === 0) return;
    throw new ModelError(
      'BAD_INPUT',
      `images of shape [${shape.join(', ')}]: expected [batch, ${this.ch}, height, width] with sides that are multiples of ${step}`,
    );
  }

  /** Raw maps and decoded boxes, in either mode. */
  predict(images: Tensor): Prediction {
    return scope(() => {
      const maps = this.maps(images);
      return { decoded: this.head.decode(maps), maps };
    });
  }

  /** A second model with equal weights: of the same dtype, on the same device and in the same memory format. */
  clone(): DetectionModel {
    const twin = new DetectionModel(this.description, { names: this.names });
    const weights = this.parameters();
    const channelsLast = weights.some(
      (weight) => weight.isContiguous('channels_last') && !weight.isContiguous(),
    );
    const { device, dtype } = weights[0]!;
    twin.to({ device, dtype, memoryFormat: channelsLast ? 'channels_last' : undefined });
    scope(() => twin.loadStateDict(this.stateDict()));
    return twin.train(this.training);
  }

  /**
   * A copy for inference, with every BatchNorm folded into its convolution: faster, and equal to about 1e-5. It has other
   * tensors than the published weights and cannot be trained.
   */
  fused(): DetectionModel {
    const twin = this.clone().eval();
    twin.requiresGrad_(false);
    for (const module of twin.modules()) if (module instanceof Conv) module.fold();
    return twin;
  }
}

/** Builds a detector by name (`yolov8n`) or table, with PyTorch's default initialisation from the current seed. */
export function buildModel(
  source: string | object,
  options: ResolveOptions & BuildOptions = {},
): DetectionModel {
  const { boxBias, names, ...resolve } = options;
  return new DetectionModel(resolveModel(source, resolve), { boxBias, names });
}

/** For each layer the index of the last layer that reads its output. */
function lastReaders(layers: readonly LayerDescription[]): number[] {
  const last = layers.map((layer) => layer.index);
  for (const { index, from } of layers) {
    for (const source of from) if (source >= 0) last[source] = index;
  }
  return last;
}

/** Layers of one input take a tensor, joins and heads a list. */
function applyLayer(layer: LayerDescription, module: nn.Module, inputs: readonly Tensor[]): Tensor {
  const { forward } = module as nn.Module & { forward(input: Tensor | readonly Tensor[]): Tensor };
  return forward.call(module, moduleSpec(layer.module, layer.index).inputs === 'many' ? inputs : inputs[0]!);
}
