import { type DType, noGrad, type Tensor } from '@mezzo/torch';
import { limitsOf } from './limits.ts';
import { plainOp, short } from './words.ts';

/** Keeps the values of an operation's input, or of its output, away from where it overflows or is undefined. */
export interface Clamp {
  /** Bound that is kept: the largest value, or the smallest. */
  readonly bound: number;
  /** What to do in words, for the operation `op`: 'clamp the input of exp to at most 11'. */
  readonly text: (op: string) => string;
  /** As code. */
  readonly code: string;
  readonly input?: (args: readonly unknown[]) => readonly unknown[];
  readonly output?: (result: Tensor) => Tensor;
}

/**
 * Slopes steepen towards 0, so if the smallest normal number is too near, these may do; a millesimal at most,
 * for more would change what the model computes.
 */
const FLOORS = [2 ** -14, 2 ** -10];

type MakeClamps = (dtype: DType) => Clamp[];

const first = (change: (tensor: Tensor) => Tensor) => (args: readonly unknown[]) => [
  change(args[0] as Tensor),
  ...args.slice(1),
];

const floor: MakeClamps = (dtype) =>
  floorsOf(dtype).map((bound) => ({
    bound,
    text: (op) => `clamp the input of ${op} to at least ${short(bound)}`,
    code: `x.clampMin(${short(bound)})`,
    input: first((x) => x.clampMin(bound)),
  }));

const floorsOf = (dtype: DType) => FLOORS.filter((bound) => bound >= limitsOf(dtype).smallestNormal);

const ceiling =
  (of: (largest: number) => number): MakeClamps =>
  (dtype) => {
    const bound = of(limitsOf(dtype).largest);
    return [
      {
        bound,
        text: (op) => `clamp the input of ${op} to at most ${short(bound)}`,
        code: `x.clampMax(${short(bound)})`,
        input: first((x) => x.clampMax(bound)),
      },
    ];
  };

const symmetric =
  (of: (largest: number) => number): MakeClamps =>
  (dtype) => {
    const bound = of(limitsOf(dtype).largest);
    return [
      {
        bound,
        text: (op) => `clamp the input of ${op} to ±${short(bound)}`,
        code: `x.clamp(${short(-bound)}, ${short(bound)})`,
        input: first((x) => x.clamp(-bound, bound)),
      },
    ];
  };

/** The divisor keeps its sign; 0 counts as positive. */
const divisor: MakeClamps = (dtype) =>
  floorsOf(dtype).map((bound) => ({
    bound,
    text: (op) => `keep the divisor of ${op} at least ${short(bound)} from 0`,
    code: `divisor.clampMin(${short(bound)})`,
    input: ([dividend, by, ...rest]) => [dividend, awayFromZero(by, bound), ...rest],
  }));

function awayFromZero(by: unknown, bound: number): unknown {
  if (typeof by === 'number') return by < 0 ? Math.min(by, -bound) : Math.max(by, bound);
  const tensor = by as Tensor;
  const negative = noGrad(() => tensor.detach().lt(0));
  return tensor
    .clampMax(-bound)
    .mul(negative.to(tensor.dtype))
    .add(tensor.clampMin(bound).mul(negative.logicalNot().to(tensor.dtype)));
}

const unit: MakeClamps = () => [
  {
    bound: 0.999,
    text: (op) => `clamp the input of ${op} to ±0.999`,
    code: 'x.clamp(-0.999, 0.999)',
    input: first((x) => x.clamp(-0.999, 0.999)),
  },
];

const output: MakeClamps = (dtype) => {
  const { largest } = limitsOf(dtype);
  return [
    {
      bound: largest,
      text: (op) => `clamp the output of ${op} to ±${short(largest)}`,
      code: `y.clamp(${short(-largest)}, ${short(largest)})`,
      output: (y) => y.clamp(-largest, largest),
    },
  ];
};

const downToEighth = (value: number) => Math.floor(value * 8) / 8;
const exponent = ceiling((largest) => downToEighth(Math.log(largest)));

/** The sensible clamp by operation; for the others, of what comes out. */
const CLAMPS: Readonly<Record<string, MakeClamps>> = {
  sqrt: floor,
  rsqrt: floor,
  reciprocal: floor,
  log: floor,
  log2: floor,
  log10: floor,
  div: divisor,
  true_divide: divisor,
  exp: exponent,
  expm1: exponent,
  exp2: ceiling((largest) => Math.floor(Math.log2(largest))),
  sinh: symmetric((largest) => downToEighth(Math.log(largest))),
  cosh: symmetric((largest) => downToEighth(Math.log(largest))),
  pow: (dtype) => [...output(dtype), ...floor(dtype)],
  square: symmetric((largest) => Math.floor(Math.sqrt(largest))),
  acos: unit,
  asin: unit,
};

/** Clamps to try, the one that changes least first. */
export const clampsFor = (op: string, dtype: DType): Clamp[] => (CLAMPS[plainOp(op)] ?? output)(dtype);
