import { keep, noGrad, scope, stack, Tensor, where, zeros } from '@mezzo/torch';
import { device } from '../config.ts';
import { sameRank } from '../losses/rank.ts';

/**
 * Something measured over many batches (keras.metrics.Metric). Its sums are tensors on the device, so that adding
 * a batch does not make the host wait, and part of the training transaction.
 */
export abstract class Metric {
  readonly name: string;
  readonly #sums = new Map<string, Tensor>();
  #device: string | null = null;

  constructor(name: string) {
    this.name = name;
  }

  /** Adds a batch. */
  abstract updateState(yTrue: Tensor, yPred: Tensor, sampleWeight?: Tensor | null): void;

  /** The value so far as a tensor of no dimensions. */
  protected abstract compute(): Tensor;

  /** Puts its sums on a device, unless they are on one; otherwise the first batch does. */
  on(place: string): this {
    this.#device ??= place;
    return this;
  }

  /** A sum of this metric, zero at first. */
  protected sum(name: string, shape: readonly number[] = []): Tensor {
    let sum = this.#sums.get(name);
    if (sum === undefined) {
      sum = keep(zeros(shape, { device: this.#device ?? device() }));
      this.#sums.set(name, sum);
    }
    return sum;
  }

  /** Its sums; made by now. */
  get variables(): Tensor[] {
    scope(() => noGrad(() => this.compute()));
    return [...this.#sums.values()];
  }

  resetState(): void {
    for (const sum of this.#sums.values()) sum.zero_();
  }

  /** The value so far. Makes the host wait for the device. */
  result(): number {
    return readMetrics([this])[this.name]!;
  }

  /** @internal */
  get value(): Tensor {
    return this.compute();
  }
}

/** The values of several metrics by name, in one read of the device. */
export function readMetrics(metrics: readonly Metric[]): Record<string, number> {
  if (metrics.length === 0) return {};
  const values = scope(() =>
    noGrad(() => stack(metrics.map(({ value }) => value.float())).toTypedArray() as Float32Array),
  );
  return Object.fromEntries(metrics.map(({ name }, i) => [name, values[i]!]));
}

/** a / b, 0 where b is 0. */
export const quotient = (a: Tensor, b: Tensor): Tensor => where(b.eq(0), 0, a.div(where(b.eq(0), 1, b)));

/** The weighted mean of values, over all batches. */
export class Mean extends Metric {
  constructor(name = 'mean') {
    super(name);
  }

  /** Adds values [batch, …] (or one number), with a weight a sample where given. */
  add(values: Tensor, weight: Tensor | number | null = null): void {
    const { total, count } = this.on(values.device);
    const samples = values.ndim > 1 ? values.flatten(1).mean(1) : values;
    if (weight === null) {
      total.add_(samples.sum());
      count.add_(values.ndim === 0 ? 1 : values.size(0));
      return;
    }
    if (weight instanceof Tensor) {
      const [value, factor] = sameRank(samples, weight.float());
      total.add_(value.mul(factor).sum());
      count.add_(factor.sum());
      return;
    }
    total.add_(samples.mul(weight).sum());
    count.add_(values.ndim === 0 ? weight : weight * values.size(0));
  }

  override updateState(_yTrue: Tensor, yPred: Tensor, sampleWeight: Tensor | null = null): void {
    this.add(yPred, sampleWeight);
  }

  private get total(): Tensor {
    return this.sum('total');
  }

  private get count(): Tensor {
    return this.sum('count');
  }

  protected override compute(): Tensor {
    return quotient(this.total, this.count);
  }
}

export type MetricFunction = (yTrue: Tensor, yPred: Tensor) => Tensor;

/** The mean of what a function of targets and predictions gives for each sample. */
export class MeanMetricWrapper extends Mean {
  readonly #fn: MetricFunction;

  constructor(fn: MetricFunction, name: string) {
    super(name);
    this.#fn = fn;
  }

  override updateState(yTrue: Tensor, yPred: Tensor, sampleWeight: Tensor | null = null): void {
    noGrad(() => scope(() => this.add(this.#fn(yTrue, yPred.float()).float(), sampleWeight)));
  }
}
