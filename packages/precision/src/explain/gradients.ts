import type { DType } from '@mezzo/libtorch';
import { type nn, noGrad, onesLike, scope, stack, type Tensor, zerosLike } from '@mezzo/torch';

/** A number for each of the two runs. */
export interface InBoth {
  float32: number;
  low: number;
}

/** The gradient of a layer's own parameters, in float32 and in the low dtype, on the same batch. */
export interface LayerGradients {
  layer: string;
  norm: InBoth;
  /**
   * Shares of elements too small for the low dtype. `float32`: of the reference's non-zero elements, those that times
   * the loss scale would round to zero. `low`: those that did arrive as zero.
   */
  underflow: InBoth;
  /**
   * Shares of elements too large. `float32`: those that times the loss scale are beyond the low dtype's largest
   * number. `low`: those that arrived as infinity or NaN.
   */
  overflow: InBoth;
  /** Between the two gradients; null when one of them is zero or not finite. */
  cosine: number | null;
}

/** Largest number and half the smallest positive one (what is below rounds to zero). */
const RANGE: Partial<Record<DType, { largest: number; vanishing: number }>> = {
  float16: { largest: 65504, vanishing: 2 ** -25 },
  bfloat16: { largest: 3.3895313892515355e38, vanishing: 2 ** -134 },
};

const COLUMNS = [
  'dot',
  'reference',
  'other',
  'present',
  'vanishing',
  'beyond',
  'lost',
  'broken',
  'all',
] as const;
type Sums = Record<(typeof COLUMNS)[number], number>;

/** Gradients of the parameters that have one, in float32 and without the loss scale, by name. */
export const gradientsOf = (model: nn.Module, scale: number): Map<string, Tensor> =>
  new Map(
    Array.from(model.namedParameters()).flatMap(([name, { grad }]) =>
      grad === null ? [] : [[name, noGrad(() => grad.detach().float().div(scale))] as const],
    ),
  );

/** @param low what `other` was computed in, under the loss scale `scale` */
export function compareLayers(
  reference: ReadonlyMap<string, Tensor>,
  other: ReadonlyMap<string, Tensor>,
  low: DType,
  scale: number,
): LayerGradients[] {
  const { largest, vanishing } = RANGE[low] ?? { largest: Number.MAX_VALUE, vanishing: 0 };
  const names = [...reference.keys()];
  if (names.length === 0) return [];
  // HOST SYNC: one, for all parameters.
  const table = scope(() =>
    noGrad(() =>
      stack(
        names.map((name) => {
          const a = reference.get(name)!;
          return sumsOf(a, other.get(name) ?? zerosLike(a), largest / scale, vanishing / scale);
        }),
      ).toTypedArray(),
    ),
  ) as Float64Array;
  const layers = new Map<string, Sums>();
  names.forEach((name, row) => {
    const layer = name.slice(0, Math.max(0, name.lastIndexOf('.')));
    const sums = layers.get(layer) ?? (Object.fromEntries(COLUMNS.map((column) => [column, 0])) as Sums);
    COLUMNS.forEach((column, i) => {
      sums[column] += table[row * COLUMNS.length + i]!;
    });
    layers.set(layer, sums);
  });
  return Array.from(layers, ([layer, sums]) => layerGradients(layer, sums));
}

/** float64, in the order of COLUMNS. */
function sumsOf(a: Tensor, b: Tensor, largest: number, vanishing: number): Tensor {
  return scope(() => {
    const [x, y] = [a.flatten().double(), b.flatten().double()];
    const size = x.abs();
    const present = size.gt(0);
    return stack([
      x.mul(y).sum(),
      x.square().sum(),
      y.square().sum(),
      present.sum().double(),
      present.logicalAnd(size.le(vanishing)).sum().double(),
      size.gt(largest).sum().double(),
      present.logicalAnd(y.eq(0)).sum().double(),
      y.isfinite().logicalNot().sum().double(),
      onesLike(x).sum(),
    ]);
  });
}

function layerGradients(layer: string, sums: Sums): LayerGradients {
  const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
  const cosine = sums.dot / Math.sqrt(sums.reference * sums.other);
  return {
    layer,
    norm: { float32: Math.sqrt(sums.reference), low: Math.sqrt(sums.other) },
    underflow: { float32: share(sums.vanishing, sums.present), low: share(sums.lost, sums.present) },
    overflow: { float32: share(sums.beyond, sums.all), low: share(sums.broken, sums.all) },
    cosine: Number.isFinite(cosine) ? cosine : null,
  };
}
