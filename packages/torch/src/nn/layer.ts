import type { DType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A module from one tensor to one tensor: what `Sequential` chains. */
export abstract class Layer extends Module {
  abstract override forward(input: Tensor): Tensor;
}

/** Where a layer's parameters are made. */
export interface FactoryOptions {
  device?: string;
  dtype?: DType;
}
