import { nn, type Tensor } from '@mezzo/torch';
import type { HeadMaps } from './decode.ts';

/** The last layer of a detector: features of several levels to raw maps, and raw maps to boxes. */
export abstract class DetectionHead extends nn.Module {
  /** Number of classes. */
  abstract readonly nc: number;
  /** Pixels per cell of each level. */
  abstract readonly strides: readonly number[];

  /** Features [B, c, h, w] of each level to raw maps. */
  abstract override forward(features: readonly Tensor[]): HeadMaps;

  /** Predictions [B, 4 + C, A] of raw maps: centre and size in pixels, probabilities; always fp32. */
  abstract decode(maps: HeadMaps): Tensor;

  /** Starting biases, by how often an object is to be expected; `boxBias` where the head has bins. */
  abstract initialiseBias(boxBias: number): void;

  /** The modules that work on a level. */
  abstract branches(level: number): nn.Module[];
}
