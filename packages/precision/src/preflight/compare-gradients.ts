import { noGrad, scope, stack, type Tensor, zeros } from '@mezzo/torch';

/** How the gradient of one layer (a module's own parameters together) compares with the reference. */
export interface LayerGradient {
  readonly layer: string;
  /** 1 for the same direction; NaN when one of the two is zero. */
  readonly cosine: number;
  /** Norm over the reference's. */
  readonly ratio: number;
  /** The reference's norm over that of the whole gradient. */
  readonly share: number;
  /** Part of the elements that are not zero in the reference and zero here. */
  readonly zeroed: number;
}

export interface GradientComparison {
  /** Of the whole gradient. */
  readonly cosine: number;
  readonly ratio: number;
  /** Norm of the reference's whole gradient. */
  readonly norm: number;
  /** In the model's order. */
  readonly layers: readonly LayerGradient[];
}

/** Gradients by parameter name; null where there is none. */
export type Gradients = ReadonlyMap<string, Tensor | null>;

const COLUMNS = 5;

/** Sums are formed in float64 on the device. HOST SYNC: one. */
export function compareGradients(reference: Gradients, other: Gradients): GradientComparison {
  const names = [...reference].filter(([, gradient]) => gradient !== null).map(([name]) => name);
  if (names.length === 0) return { cosine: Number.NaN, ratio: Number.NaN, norm: 0, layers: [] };
  const table = scope(() =>
    noGrad(
      () =>
        stack(
          names.map((name) => sumsOf(reference.get(name)!, other.get(name) ?? null)),
        ).toTypedArray() as Float64Array,
    ),
  );
  const layers = new Map<string, number[]>();
  const whole = new Array<number>(COLUMNS).fill(0);
  names.forEach((name, row) => {
    const layer = name.slice(0, Math.max(name.lastIndexOf('.'), 0));
    const sums = layers.get(layer) ?? new Array<number>(COLUMNS).fill(0);
    for (let i = 0; i < COLUMNS; i++) {
      sums[i]! += table[row * COLUMNS + i]!;
      whole[i]! += table[row * COLUMNS + i]!;
    }
    layers.set(layer, sums);
  });
  const norm = Math.sqrt(whole[1]!);
  return {
    ...anglesOf(whole),
    norm,
    layers: Array.from(layers, ([layer, sums]) => ({
      layer,
      ...anglesOf(sums),
      share: Math.sqrt(sums[1]!) / norm,
      zeroed: sums[3] === 0 ? 0 : sums[4]! / sums[3]!,
    })),
  };
}

/** [5] float64: a·b, a·a, b·b, nonzero elements of a, those of them that are zero in b. */
function sumsOf(a: Tensor, b: Tensor | null): Tensor {
  return scope(() => {
    const reference = a.flatten().double();
    const other =
      b === null ? zeros(reference.shape, { dtype: 'float64', device: a.device }) : b.flatten().double();
    const present = reference.ne(0);
    return stack([
      reference.mul(other).sum(),
      reference.square().sum(),
      other.square().sum(),
      present.sum().double(),
      present.logicalAnd(other.eq(0)).sum().double(),
    ]);
  });
}

function anglesOf(sums: readonly number[]): { cosine: number; ratio: number } {
  const [dot, aa, bb] = sums as [number, number, number];
  return { cosine: dot / Math.sqrt(aa * bb), ratio: Math.sqrt(bb / aa) };
}
