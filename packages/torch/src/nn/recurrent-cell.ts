import { TorchError } from '@mezzo/libtorch';
import { op } from '../ops/call.ts';
import { empty, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { uniform_ } from './init.ts';
import type { FactoryOptions } from './layer.ts';
import { Module } from './module.ts';
import { Parameter } from './parameter.ts';

export type RecurrentCellOptions = FactoryOptions & { bias?: boolean };

type Weights = [weightIh: Tensor, weightHh: Tensor, biasIh: Tensor | null, biasHh: Tensor | null];

/** One step of a recurrent network. weightIh [gates · hidden, input], weightHh [gates · hidden, hidden]. */
abstract class RecurrentCell extends Module {
  static override readonly stateNames = {
    weightIh: 'weight_ih',
    weightHh: 'weight_hh',
    biasIh: 'bias_ih',
    biasHh: 'bias_hh',
  };

  readonly inputSize: number;
  readonly hiddenSize: number;
  weightIh: Parameter;
  weightHh: Parameter;
  biasIh: Parameter | null;
  biasHh: Parameter | null;

  constructor(gates: number, inputSize: number, hiddenSize: number, options: RecurrentCellOptions) {
    super();
    const { bias = true } = options;
    const rows = gates * hiddenSize;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.weightIh = new Parameter(empty([rows, inputSize], options));
    this.weightHh = new Parameter(empty([rows, hiddenSize], options));
    this.biasIh = bias ? new Parameter(empty([rows], options)) : null;
    this.biasHh = bias ? new Parameter(empty([rows], options)) : null;
    this.resetParameters();
  }

  /** PyTorch's default: everything uniform in ±1/sqrt(hidden). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound);
  }

  protected get weights(): Weights {
    return [this.weightIh, this.weightHh, this.biasIh, this.biasHh];
  }

  /** Runs `step` on a batch, one of one sample where the input has none. */
  protected step<S>(
    input: Tensor,
    states: readonly Tensor[] | null,
    count: number,
    step: (input: Tensor, states: Tensor[]) => S,
    unbatch: (result: S) => S,
  ): S {
    if (input.ndim !== 1 && input.ndim !== 2) {
      const name = this.constructor.name;
      throw new TorchError('VALUE', `${name}: Expected input to be 1D or 2D, got ${input.ndim}D instead`);
    }
    const batched = input.ndim === 2;
    const x = batched ? input : input.unsqueeze(0);
    const { dtype, device } = input;
    const given =
      states?.map((state) => (batched ? state : state.unsqueeze(0))) ??
      Array.from({ length: count }, () => zeros([x.size(0), this.hiddenSize], { dtype, device }));
    const result = step(x, given);
    return batched ? result : unbatch(result);
  }

  override extraRepr(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.biasIh === null ? ', bias=False' : ''}`;
  }
}

type StepOp = (input: Tensor, state: Tensor | Tensor[], ...weights: Weights) => Tensor;

/** A cell whose state is one tensor. */
abstract class OneStateCell extends RecurrentCell {
  protected abstract readonly run: StepOp;

  /** input [N, in] or [in], state [N, hidden] or [hidden], zeros by default; gives the next state. */
  override forward(input: Tensor, state: Tensor | null = null): Tensor {
    return this.step(
      input,
      state === null ? null : [state],
      1,
      (x, [h]) => this.run(x, h!, ...this.weights),
      (next) => next.squeeze(0),
    );
  }
}

const tanhStep = op<StepOp>('aten::rnn_tanh_cell');
const reluStep = op<StepOp>('aten::rnn_relu_cell');
const gruStep = op<StepOp>('aten::gru_cell');
const lstmStep =
  op<(input: Tensor, states: Tensor[], ...weights: Weights) => [Tensor, Tensor]>('aten::lstm_cell');

export class RNNCell extends OneStateCell {
  readonly nonlinearity: 'tanh' | 'relu';

  constructor(
    inputSize: number,
    hiddenSize: number,
    options: RecurrentCellOptions & { nonlinearity?: 'tanh' | 'relu' } = {},
  ) {
    super(1, inputSize, hiddenSize, options);
    this.nonlinearity = options.nonlinearity ?? 'tanh';
  }

  protected override get run(): StepOp {
    return this.nonlinearity === 'tanh' ? tanhStep : reluStep;
  }

  override extraRepr(): string {
    return super.extraRepr() + (this.nonlinearity === 'tanh' ? '' : `, nonlinearity=${this.nonlinearity}`);
  }
}

export class GRUCell extends OneStateCell {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentCellOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  protected override get run(): StepOp {
    return gruStep;
  }
}

export class LSTMCell extends RecurrentCell {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentCellOptions = {}) {
    super(4, inputSize, hiddenSize, options);
  }

  /** input [N, in] or [in], state h and c, zeros by default; gives the next h and c. */
  override forward(
    input: Tensor,
    state: readonly [h: Tensor, c: Tensor] | null = null,
  ): [h: Tensor, c: Tensor] {
    return this.step(
      input,
      state,
      2,
      (x, states) => lstmStep(x, states, ...this.weights),
      ([h, c]) => [h.squeeze(0), c.squeeze(0)],
    );
  }
}
