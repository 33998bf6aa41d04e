import { empty } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { bilinear } from './functional/conv.ts';
import { uniform_ } from './init.ts';
import type { FactoryOptions } from './layer.ts';
import { Module } from './module.ts';
import { Parameter } from './parameter.ts';
import { pythonBool } from './python-repr.ts';

/** aᵀ W b + bias for every output; weight [out, in1, in2]. */
export class Bilinear extends Module {
  readonly in1Features: number;
  readonly in2Features: number;
  readonly outFeatures: number;
  weight: Parameter;
  bias: Parameter | null;

  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    options: FactoryOptions & { bias?: boolean } = {},
  ) {
    super();
    this.in1Features = in1Features;
    this.in2Features = in2Features;
    this.outFeatures = outFeatures;
    this.weight = new Parameter(empty([outFeatures, in1Features, in2Features], options));
    this.bias = (options.bias ?? true) ? new Parameter(empty([outFeatures], options)) : null;
    this.resetParameters();
  }

  /** PyTorch's default: uniform in ±1/sqrt(in1). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.in1Features);
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound);
  }

  override forward(a: Tensor, b: Tensor): Tensor {
    return bilinear(a, b, this.weight, this.bias);
  }

  override extraRepr(): string {
    const features = `in1_features=${this.in1Features}, in2_features=${this.in2Features}`;
    return `${features}, out_features=${this.outFeatures}, bias=${pythonBool(this.bias !== null)}`;
  }
}
