import { TorchError } from '@mezzo/libtorch';
import { isAutocastEnabled } from '../amp/state.ts';
import { op } from '../ops/call.ts';
import { empty, zeros } from '../tensor/creation.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../warning.ts';
import { uniform_ } from './init.ts';
import type { FactoryOptions } from './layer.ts';
import { Module } from './module.ts';
import { PackedSequence } from './packed-sequence.ts';
import { Parameter } from './parameter.ts';
import { pythonFloat } from './python-repr.ts';
import { flattenForCudnn } from './recurrent-flat.ts';

export interface RecurrentOptions extends FactoryOptions {
  numLayers?: number;
  bias?: boolean;
  /** Inputs and outputs are [N, T, …], not [T, N, …]; states are [layers, N, …] either way. */
  batchFirst?: boolean;
  /** Between the layers, while training. */
  dropout?: number;
  /** A second pass from the end to the beginning; outputs are concatenated. */
  bidirectional?: boolean;
}

interface Architecture {
  readonly name: string;
  readonly gates: number;
  readonly op: string;
  /** cuDNN's number. */
  readonly mode: number;
  readonly states: number;
}

type Run = (...args: unknown[]) => Tensor[];

/**
 * What RNN, LSTM and GRU share. The parameters are properties under PyTorch's names: `weight_ih_l0`
 * [gates · hidden, input], `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, with `_reverse` for the second direction.
 */
abstract class Recurrent<State> extends Module {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly batchFirst: boolean;
  dropout: number;
  readonly bidirectional: boolean;
  /** Size of the projected hidden state, 0 without projection. */
  readonly projSize: number;
  readonly #architecture: Architecture;
  readonly #names: readonly (readonly string[])[];
  readonly #padded: Run;
  readonly #packed: Run;

  constructor(
    architecture: Architecture,
    inputSize: number,
    hiddenSize: number,
    options: RecurrentOptions,
    projSize = 0,
  ) {
    super();
    const { numLayers = 1, dropout = 0 } = options;
    for (const [name, size] of Object.entries({
      input_size: inputSize,
      hidden_size: hiddenSize,
      num_layers: numLayers,
    })) {
      if (size <= 0) throw new TorchError('VALUE', `${name} must be greater than zero`);
    }
    checkDropout(dropout, numLayers);
    if (projSize >= hiddenSize) throw new TorchError('VALUE', 'proj_size has to be smaller than hidden_size');
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bias = options.bias ?? true;
    this.batchFirst = options.batchFirst ?? false;
    this.dropout = dropout;
    this.bidirectional = options.bidirectional ?? false;
    this.projSize = projSize;
    this.#architecture = architecture;
    this.#padded = op<Run>(architecture.op, 'input');
    this.#packed = op<Run>(architecture.op, 'data');
    const made = Array.from(this.shapes(), (shapes) =>
      shapes.map(([name, shape]): [string, Parameter] => [name, new Parameter(empty(shape, options))]),
    );
    this.#names = made.map((weights) => weights.map(([name]) => name));
    Object.assign(this, Object.fromEntries(made.flat()));
    this.resetParameters();
  }

  /** Names and shapes of the weights, layer by layer and direction by direction. */
  private *shapes(): Generator<[name: string, shape: number[]][]> {
    const { inputSize, hiddenSize, numLayers, bias, bidirectional, projSize } = this;
    const rows = this.#architecture.gates * hiddenSize;
    const state = projSize > 0 ? projSize : hiddenSize;
    for (let layer = 0; layer < numLayers; layer++) {
      const columns = layer === 0 ? inputSize : state * (bidirectional ? 2 : 1);
      for (const direction of bidirectional ? ['', '_reverse'] : ['']) {
        const suffix = `l${layer}${direction}`;
        const shapes: [string, number[]][] = [
          [`weight_ih_${suffix}`, [rows, columns]],
          [`weight_hh_${suffix}`, [rows, state]],
        ];
        if (bias) shapes.push([`bias_ih_${suffix}`, [rows]], [`bias_hh_${suffix}`, [rows]]);
        if (projSize > 0) shapes.push([`weight_hr_${suffix}`, [projSize, hiddenSize]]);
        yield shapes;
      }
    }
  }

  /** The weights of each layer and direction (torch's all_weights). */
  get allWeights(): Parameter[][] {
    const own = this as unknown as Record<string, Parameter>;
    return this.#names.map((names) => names.map((name) => own[name]!));
  }

  /** PyTorch's default: everything uniform in ±1/sqrt(hidden). */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound);
  }

  protected abstract tensorsOf(state: State): Tensor[];
  protected abstract stateOf(tensors: Tensor[]): State;

  /**
   * input [T, N, in], with `batchFirst` [N, T, in], without a batch [T, in]; state [layers · directions, N,
   * hidden], zeros by default. Gives the last layer's output at every step and the state after the last one.
   */
  override forward(input: PackedSequence, state?: State | null): [output: PackedSequence, state: State];
  override forward(input: Tensor, state?: State | null): [output: Tensor, state: State];
  override forward(
    input: Tensor | PackedSequence,
    state: State | null = null,
  ): [output: Tensor | PackedSequence, state: State] {
    return input instanceof PackedSequence ? this.runPacked(input, state) : this.runPadded(input, state);
  }

  private runPadded(input: Tensor, state: State | null): [output: Tensor, state: State] {
    if (input.ndim !== 2 && input.ndim !== 3) {
      const { name } = this.#architecture;
      throw new TorchError('VALUE', `${name}: Expected input to be 2D or 3D, got ${input.ndim}D instead`);
    }
    const batched = input.ndim === 3;
    const batchDim = this.batchFirst ? 0 : 1;
    const batch = batched ? input : input.unsqueeze(batchDim);
    const states = this.statesFor(batch, batch.size(batchDim), state, batched);
    const [output, ...last] = this.#padded(batch, ...this.arguments(states), this.batchFirst) as [
      Tensor,
      ...Tensor[],
    ];
    if (batched) return [output, this.stateOf(last)];
    return [output.squeeze(batchDim), this.stateOf(last.map((each) => each.squeeze(1)))];
  }

  private runPacked(input: PackedSequence, state: State | null): [output: PackedSequence, state: State] {
    const { data, batchSizes, sortedIndices, unsortedIndices } = input;
    if (data.ndim !== 2) throw new TorchError('VALUE', `input must have 2 dimensions, got ${data.ndim}`);
    // sync: batchSizes is on the CPU
    const given = this.statesFor(data, Number(batchSizes.select(0, 0).item()), state, true);
    const reorder = (tensors: Tensor[], order: Tensor | null) =>
      order === null ? tensors : tensors.map((each) => each.indexSelect(1, order));
    // States that were left out are zeros in every order.
    const states = state === null ? given : reorder(given, sortedIndices);
    const [statesArgument, ...rest] = this.arguments(states);
    const [output, ...last] = this.#packed(data, batchSizes, statesArgument, ...rest) as [
      Tensor,
      ...Tensor[],
    ];
    return [
      new PackedSequence(output, batchSizes, sortedIndices),
      this.stateOf(reorder(last, unsortedIndices)),
    ];
  }

  /** States, weights, biases, layers, dropout, training, directions. */
  private arguments(states: Tensor[]): [states: Tensor | Tensor[], ...rest: unknown[]] {
    const { bias, numLayers, dropout, training, bidirectional } = this;
    const given = this.#architecture.states === 1 ? states[0]! : states;
    const weights = this.allWeights;
    flattenForCudnn(weights, this.#architecture.mode, this);
    return [given, weights.flat(), bias, numLayers, dropout, training, bidirectional];
  }

  private statesFor(input: Tensor, batch: number, state: State | null, batched: boolean): Tensor[] {
    const { inputSize, hiddenSize, projSize } = this;
    if (input.size(-1) !== inputSize) {
      throw new TorchError(
        'VALUE',
        `input.size(-1) must be equal to input_size. Expected ${inputSize}, got ${input.size(-1)}`,
      );
    }
    const [first] = this.allWeights[0]!;
    if (input.dtype !== first!.dtype && !underAutocast()) {
      throw new TorchError(
        'VALUE',
        `RNN input dtype (torch.${input.dtype}) does not match weight dtype (torch.${first!.dtype}). Convert ` +
          `input: input.to('${first!.dtype}'), or convert model: model.to('${input.dtype}')`,
      );
    }
    const rows = this.numLayers * (this.bidirectional ? 2 : 1);
    const shapes = [[rows, batch, projSize > 0 ? projSize : hiddenSize]];
    if (this.#architecture.states === 2) shapes.push([rows, batch, hiddenSize]);
    const { dtype, device } = input;
    if (state === null) return shapes.map((shape) => zeros(shape, { dtype, device }));
    const given = this.tensorsOf(state);
    return shapes.map((shape, i) => {
      const wanted = batched ? shape : [shape[0]!, shape[2]!];
      const tensor = given[i]!;
      if (tensor.shape.join() !== wanted.join()) {
        const what = shapes.length === 1 ? 'hidden' : `hidden[${i}]`;
        throw new TorchError(
          'VALUE',
          `Expected ${what} size (${wanted.join(', ')}), got [${tensor.shape.join(', ')}]`,
        );
      }
      return batched ? tensor : tensor.unsqueeze(1);
    });
  }

  override extraRepr(): string {
    const { inputSize, hiddenSize, projSize, numLayers, bias, batchFirst, dropout, bidirectional } = this;
    const parts = [`${inputSize}, ${hiddenSize}`];
    if (projSize !== 0) parts.push(`proj_size=${projSize}`);
    if (numLayers !== 1) parts.push(`num_layers=${numLayers}`);
    if (!bias) parts.push('bias=False');
    if (batchFirst) parts.push('batch_first=True');
    if (dropout !== 0) parts.push(`dropout=${pythonFloat(dropout)}`);
    if (bidirectional) parts.push('bidirectional=True');
    return parts.join(', ');
  }
}

const underAutocast = () => isAutocastEnabled('cpu') || isAutocastEnabled('cuda');

function checkDropout(dropout: number, numLayers: number): void {
  if (!(dropout >= 0 && dropout <= 1)) {
    throw new TorchError(
      'VALUE',
      'dropout should be a number in range [0, 1] representing the probability of an element being zeroed',
    );
  }
  if (dropout > 0 && numLayers === 1) {
    warn(
      'DROPOUT_UNUSED',
      'dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers ' +
        `greater than 1, but got dropout=${dropout} and num_layers=${numLayers}`,
    );
  }
}

/** A recurrent network whose state is one tensor. */
abstract class OneState extends Recurrent<Tensor> {
  protected override tensorsOf(state: Tensor): Tensor[] {
    return [state];
  }

  protected override stateOf(tensors: Tensor[]): Tensor {
    return tensors[0]!;
  }
}

export interface RNNOptions extends RecurrentOptions {
  nonlinearity?: 'tanh' | 'relu';
}

/** h ← tanh or relu of a linear map of input and h (Elman 1990). */
export class RNN extends OneState {
  readonly nonlinearity: 'tanh' | 'relu';

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const { nonlinearity = 'tanh' } = options;
    super(
      {
        name: 'RNN',
        gates: 1,
        op: `aten::rnn_${nonlinearity}`,
        mode: nonlinearity === 'tanh' ? 1 : 0,
        states: 1,
      },
      inputSize,
      hiddenSize,
      options,
    );
    this.nonlinearity = nonlinearity;
  }
}

/** Gated recurrent units (Cho et al. 2014): gates reset, update, new. */
export class GRU extends OneState {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super({ name: 'GRU', gates: 3, op: 'aten::gru', mode: 3, states: 1 }, inputSize, hiddenSize, options);
  }
}

export interface LSTMOptions extends RecurrentOptions {
  /** Project the hidden state to this many features; 0 for none. */
  projSize?: number;
}

/** Hidden state and cell state, each [layers · directions, N, hidden]. */
export type LSTMState = readonly [h: Tensor, c: Tensor];

/** Long short-term memory (Hochreiter and Schmidhuber 1997): gates input, forget, cell, output. */
export class LSTM extends Recurrent<LSTMState> {
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    super(
      { name: 'LSTM', gates: 4, op: 'aten::lstm', mode: 2, states: 2 },
      inputSize,
      hiddenSize,
      options,
      options.projSize ?? 0,
    );
  }

  protected override tensorsOf(state: LSTMState): Tensor[] {
    return [...state];
  }

  protected override stateOf(tensors: Tensor[]): LSTMState {
    return [tensors[0]!, tensors[1]!];
  }
}
