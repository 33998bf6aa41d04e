import { cat, type nn, op, type Tensor, zeros, zerosLike } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import { requireRank, requireSize, type Shape, shapeMismatch } from '../graph/shape.ts';
import type { InitializerId } from '../initializers/index.ts';
import type { RegularizerId } from '../regularizers.ts';
import { type CallOptions, Layer, type LayerOptions } from './layer.ts';

export interface RecurrentOptions extends LayerOptions {
  useBias?: boolean;
  /** All outputs [batch, steps, units] instead of the last one [batch, units]. */
  returnSequences?: boolean;
  goBackwards?: boolean;
  kernelInitializer?: InitializerId;
  /** Default 'orthogonal'. */
  recurrentInitializer?: InitializerId;
  biasInitializer?: InitializerId;
  kernelRegularizer?: RegularizerId | null;
  recurrentRegularizer?: RegularizerId | null;
  biasRegularizer?: RegularizerId | null;
}

const OPTIONS = [
  'useBias',
  'returnSequences',
  'goBackwards',
  'kernelInitializer',
  'recurrentInitializer',
  'biasInitializer',
  'kernelRegularizer',
  'recurrentRegularizer',
  'biasRegularizer',
] as const;

type Run = (...args: unknown[]) => readonly Tensor[];
const lstm = op<Run>('aten::lstm', 'input');
const gru = op<Run>('aten::gru', 'input');
const tanhRnn = op<Run>('aten::rnn_tanh', 'input');

/**
 * A recurrent layer over x [batch, steps, features] with Keras's weights, run by LibTorch's whole-sequence kernels
 * (cuDNN on a GPU); activations are tanh and, in the gates, sigmoid.
 */
export abstract class Recurrent extends Layer {
  static override readonly stateNames: Readonly<Record<string, string>> = {
    recurrentKernel: 'recurrent_kernel',
  };

  readonly units: number;
  kernel!: nn.Parameter;
  recurrentKernel!: nn.Parameter;
  bias: nn.Parameter | null = null;
  protected readonly options: RecurrentOptions;
  readonly #gates: number;

  constructor(units: number, gates: number, options: RecurrentOptions, ownOptions: readonly string[] = []) {
    super(options, [...OPTIONS, ...ownOptions]);
    if (!Number.isInteger(units) || units < 1) {
      throw new KerasError(
        'BAD_OPTION',
        `layer '${this.name}': units must be a whole number above 0, not ${units}`,
      );
    }
    this.units = units;
    this.options = options;
    this.#gates = gates;
  }

  /** Shape of the bias, and its first values where they are not all of the initializer. */
  protected abstract biasShape(outputs: number): readonly number[];
  /** The sequence of outputs [batch, steps, units]; weights are Keras's, cast. */
  protected abstract run(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor | null): Tensor;

  protected override build(inputShape: Shape): void {
    const { recurrentInitializer = 'orthogonal', biasInitializer = 'zeros', ...rest } = this.options;
    const outputs = this.#gates * this.units;
    this.kernel = this.addWeight([requireSize(this.name, inputShape, -1), outputs], {
      initializer: rest.kernelInitializer,
      regularizer: rest.kernelRegularizer,
    });
    this.recurrentKernel = this.addWeight([this.units, outputs], {
      initializer: recurrentInitializer,
      regularizer: rest.recurrentRegularizer,
    });
    if (rest.useBias === false) return;
    this.bias = this.addWeight(this.biasShape(outputs), {
      initializer: biasInitializer,
      regularizer: rest.biasRegularizer,
    });
  }

  override computeOutputShape(inputShape: Shape): Shape {
    requireRank(this.name, inputShape, 3, '(batch, steps, features)');
    const wanted = this.built ? this.kernel.size(0) : null;
    const features = inputShape[2]!;
    if (wanted !== null && features !== null && wanted !== features) {
      throw shapeMismatch(this.name, `${wanted} features at the last axis`, inputShape);
    }
    const steps = this.returnsSequences ? [inputShape[1]!] : [];
    return [inputShape[0]!, ...steps, this.units];
  }

  protected override compute(input: Tensor, _: Required<CallOptions>): Tensor {
    const x = this.options.goBackwards === true ? input.flip(1) : input;
    const bias = this.bias === null ? null : this.value(this.bias);
    const y = this.run(x, this.value(this.kernel), this.value(this.recurrentKernel), bias);
    return this.returnsSequences ? y : y.select(1, -1);
  }

  get returnsSequences(): boolean {
    return this.options.returnSequences === true;
  }

  /** A layer like this one with weights of its own, through the steps the other way. */
  reversed(): Recurrent {
    const { goBackwards = false } = this.options;
    const Same = this.constructor as new (units: number, options: RecurrentOptions) => Recurrent;
    const name = `backward_${this.name}`;
    return new Same(this.units, {
      ...this.options,
      name,
      dtype: this.dtypePolicy,
      goBackwards: !goBackwards,
    });
  }

  protected noState(x: Tensor): Tensor {
    return zeros([1, x.size(0), this.units], { dtype: x.dtype, device: x.device });
  }
}

/** What LibTorch's recurrent kernels take after weights: bias, layers, dropout, training, both ways, batch first. */
const oneLayer = (bias: boolean) => [bias, 1, 0, false, false, true] as const;

const weightsOf = (kernel: Tensor, recurrent: Tensor, biases: readonly Tensor[]): Tensor[] => [
  kernel.t(),
  recurrent.t(),
  ...biases,
];

export class SimpleRNN extends Recurrent {
  constructor(units: number, options: RecurrentOptions = {}) {
    super(units, 1, options);
  }

  protected override biasShape(outputs: number): readonly number[] {
    return [outputs];
  }

  protected override run(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor | null): Tensor {
    const weights = weightsOf(kernel, recurrent, bias === null ? [] : [bias, zerosLike(bias)]);
    return tanhRnn(x, this.noState(x), weights, ...oneLayer(bias !== null))[0]!;
  }
}

/** Gates in the order input, forget, cell, output; the forget gate's bias begins at 1 (`unitForgetBias`). */
export class LSTM extends Recurrent {
  constructor(units: number, options: RecurrentOptions & { unitForgetBias?: boolean } = {}) {
    super(units, 4, options, ['unitForgetBias']);
  }

  protected override biasShape(outputs: number): readonly number[] {
    return [outputs];
  }

  protected override build(inputShape: Shape): void {
    super.build(inputShape);
    const { unitForgetBias = true } = this.options as { unitForgetBias?: boolean };
    if (unitForgetBias) this.bias?.narrow(0, this.units, this.units).fill_(1);
  }

  protected override run(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor | null): Tensor {
    const weights = weightsOf(kernel, recurrent, bias === null ? [] : [bias, zerosLike(bias)]);
    return lstm(x, [this.noState(x), this.noState(x)], weights, ...oneLayer(bias !== null))[0]!;
  }
}

/** Gates in the order update, reset, candidate; two biases [2, 3 · units], as with Keras's `reset_after`. */
export class GRU extends Recurrent {
  constructor(units: number, options: RecurrentOptions = {}) {
    super(units, 3, options);
  }

  protected override biasShape(outputs: number): readonly number[] {
    return [2, outputs];
  }

  protected override run(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor | null): Tensor {
    const biases = bias === null ? [] : bias.unbind(0).map((each) => this.resetFirst(each));
    const weights = weightsOf(this.resetFirst(kernel), this.resetFirst(recurrent), biases);
    return gru(x, this.noState(x), weights, ...oneLayer(bias !== null))[0]!;
  }

  /** LibTorch's order of the gates: reset, update, candidate. */
  private resetFirst(weights: Tensor): Tensor {
    const [update, reset, candidate] = weights.chunk(3, -1);
    return cat([reset!, update!, candidate!], -1);
  }
}
