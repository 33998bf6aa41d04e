import type { GradientComparison } from './compare-gradients.ts';
import { type ControlRounding, runControlPass } from './control-pass.ts';
import { type Comparison, comparePasses, type RoundingPrice } from './judge.ts';
import { LIMITS } from './limits.ts';
import type { PassRecord } from './run-pass.ts';
import type { Difference, PreflightSubject } from './subject.ts';

/** The grid on which kernels round. */
const KERNELS = 1;
/** Others. No power of two, which would give that one again. */
const STRETCHES = [0.8, 0.9, 1.1, 1.25];

/** What rounding alone does to a model on a batch. Each control pass runs when it is first asked for. */
export class PriceOfRounding<D> implements RoundingPrice {
  private readonly subject: PreflightSubject<D>;
  private readonly reference: PassRecord<D>;
  private readonly layers: ReadonlySet<string>;
  private first: Comparison | null | undefined;
  private all: Comparison | null | undefined;
  private shaky: boolean | undefined;

  /** @param layers the modules that compute in low precision */
  constructor(subject: PreflightSubject<D>, reference: PassRecord<D>, layers: ReadonlySet<string>) {
    this.subject = subject;
    this.reference = reference;
    this.layers = layers;
  }

  get once(): Comparison | null {
    if (this.first === undefined) this.first = this.control('weights and values', KERNELS);
    return this.first;
  }

  get most(): Comparison | null {
    if (this.all === undefined) {
      const others = STRETCHES.map((stretch) => this.control('weights and values', stretch));
      const known = [this.once, ...others].filter((each) => each !== null);
      this.all = known.length === 0 ? null : worstOf(known);
    }
    return this.all;
  }

  get unstable(): boolean {
    this.shaky ??= [KERNELS, ...STRETCHES].some((stretch) => {
      const weights = this.control('weights', stretch);
      return weights !== null && 1 - weights.gradients.cosine > LIMITS.unstableAngle;
    });
    return this.shaky;
  }

  /** null where rounding alone leaves the range, so that it explains nothing. */
  private control(of: ControlRounding['of'], stretch: number): Comparison | null {
    const { subject, reference, layers } = this;
    const pass = runControlPass(subject, reference.settings.batch, { layers, of, stretch });
    if (!Number.isFinite(pass.loss) || pass.overflowed.length > 0) return null;
    return comparePasses(subject, reference, pass);
  }
}

/** Of each number the one furthest from no difference. */
function worstOf(comparisons: readonly Comparison[]): Comparison {
  const [first] = comparisons as [Comparison];
  const all = comparisons.map(({ gradients }) => gradients);
  const layers = first.gradients.layers.map((layer, i) => ({
    ...layer,
    cosine: leastCosine(all.map((each) => each.layers[i]!)),
  }));
  const differences = Object.entries(first.differences).map(([name, difference]) => {
    const values = comparisons.map((each) => each.differences[name]?.value ?? 0);
    return [name, { ...difference, value: Math.max(...values) }] as const;
  });
  return {
    lossGap: Math.max(...comparisons.map(({ lossGap }) => lossGap)),
    gradients: { ...first.gradients, cosine: leastCosine(all), layers },
    differences: Object.fromEntries<Difference>(differences),
  };
}

/** NaN, of a gradient that is zero, says nothing. */
const leastCosine = (gradients: readonly Pick<GradientComparison, 'cosine'>[]): number => {
  const known = gradients.map(({ cosine }) => cosine).filter((cosine) => !Number.isNaN(cosine));
  return known.length === 0 ? Number.NaN : Math.min(...known);
};
