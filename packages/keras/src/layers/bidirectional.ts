import { cat, type DType, type Tensor } from '@mezzo/torch';
import { KerasError } from '../errors.ts';
import type { Shape } from '../graph/shape.ts';
import { type CallOptions, Layer, type LayerOptions } from './layer.ts';
import type { Recurrent } from './recurrent.ts';

export interface BidirectionalOptions extends LayerOptions {
  /** Default 'concat': outputs side by side. */
  mergeMode?: 'concat' | 'sum' | 'mul' | 'ave';
}

const MERGES: Readonly<Record<string, (a: Tensor, b: Tensor) => Tensor>> = {
  concat: (a, b) => cat([a, b], -1),
  sum: (a, b) => a.add(b),
  mul: (a, b) => a.mul(b),
  ave: (a, b) => a.add(b).div(2),
};

/** A recurrent layer forwards, and another like it backwards through the same steps. */
export class Bidirectional extends Layer {
  static override readonly stateNames = { forwardLayer: 'forward_layer', backwardLayer: 'backward_layer' };

  readonly forwardLayer: Recurrent;
  readonly backwardLayer: Recurrent;
  readonly #mode: string;

  /** @throws KerasError BAD_OPTION for another merge mode */
  constructor(layer: Recurrent, options: BidirectionalOptions = {}) {
    super({ dtype: layer.dtypePolicy, ...options }, ['mergeMode']);
    this.#mode = options.mergeMode ?? 'concat';
    if (!Object.hasOwn(MERGES, this.#mode)) {
      throw new KerasError(
        'BAD_OPTION',
        `layer '${this.name}': mergeMode must be one of ${Object.keys(MERGES).join(', ')}, not '${this.#mode}'`,
      );
    }
    this.forwardLayer = layer;
    this.backwardLayer = layer.reversed();
  }

  protected override build(inputShape: Shape): void {
    this.forwardLayer.ensureBuilt(inputShape);
    this.backwardLayer.ensureBuilt(inputShape);
  }

  override computeOutputShape(inputShape: Shape): Shape {
    const shape = this.forwardLayer.computeOutputShape(inputShape);
    return this.#mode === 'concat' ? [...shape.slice(0, -1), 2 * this.forwardLayer.units] : shape;
  }

  override computeOutputDtype(): DType {
    return this.forwardLayer.computeDtype;
  }

  protected override compute(x: Tensor, options: Required<CallOptions>): Tensor {
    const there = this.forwardLayer.call(x, options);
    const back = this.backwardLayer.call(x, options);
    // Steps in their own order again: the backward layer saw the last one first.
    const aligned = this.forwardLayer.returnsSequences ? back.flip(1) : back;
    return MERGES[this.#mode]!(there, aligned);
  }
}
