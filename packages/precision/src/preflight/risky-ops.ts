import { noGrad, ops, scope, Tensor } from '@mezzo/torch';
import { limitsOf } from '../autopsy/limits.ts';
import { LIMITS } from './limits.ts';

/** What there is to fear of an operation in low precision, and which number tells. */
interface Risk {
  /** Which operand decides: its index among the arguments. */
  readonly operand: number;
  /** Its largest value, its smallest value, or its smallest magnitude. */
  readonly looksAt: 'largest' | 'smallest' | 'smallest magnitude';
  /** Whether that number is too close to what the dtype can hold. */
  readonly unsafe: (value: number, limits: { largest: number; smallestNormal: number }) => boolean;
  /** In words: what happens. */
  readonly danger: string;
  /** Only told when unsafe: the operation is everywhere, and mostly harmless. */
  readonly common?: true;
}

const { rangeFactor } = LIMITS;
const nearZero: Risk['unsafe'] = (value, { smallestNormal }) => value < rangeFactor * smallestNormal;
const exponent: Pick<Risk, 'operand' | 'looksAt' | 'unsafe'> = {
  operand: 0,
  looksAt: 'largest',
  unsafe: (value, { largest }) => value > Math.log(largest / rangeFactor),
};
const logarithm: Risk = {
  operand: 0,
  looksAt: 'smallest',
  unsafe: nearZero,
  danger: 'small arguments round to 0, whose logarithm is infinite',
};
const divisor: Risk = {
  operand: 1,
  looksAt: 'smallest magnitude',
  unsafe: nearZero,
  danger: 'small divisors round to 0, and quotients leave the range',
};
const root: Risk = {
  operand: 0,
  looksAt: 'smallest',
  unsafe: nearZero,
  danger: 'small arguments round to 0, where the slope of a root is infinite',
};

const RISKS: Readonly<Record<string, Risk>> = {
  exp: { ...exponent, danger: 'the result leaves the range' },
  exp2: {
    ...exponent,
    unsafe: (value, { largest }) => value > Math.log2(largest / rangeFactor),
    danger: 'the result leaves the range',
  },
  expm1: { ...exponent, danger: 'the result leaves the range' },
  sinh: { ...exponent, danger: 'the result leaves the range' },
  cosh: { ...exponent, danger: 'the result leaves the range' },
  log: logarithm,
  log2: logarithm,
  log10: logarithm,
  sqrt: root,
  rsqrt: { ...root, danger: 'small arguments round to 0, and the result leaves the range' },
  pow: {
    operand: 0,
    looksAt: 'smallest magnitude',
    unsafe: nearZero,
    danger: 'small bases round to 0, and their power is 0 or infinite',
  },
  reciprocal: { ...divisor, operand: 0 },
  div: { ...divisor, common: true },
  divide: { ...divisor, common: true },
  true_divide: { ...divisor, common: true },
};

/** Operations that put a floor under a divisor or an argument; the constant is their second argument. */
const FLOORS = new Set(['add', 'sub', 'clamp', 'clamp_min', 'maximum']);

/** An operation at risk that ran in low precision, in one layer. */
export interface RiskyUse {
  readonly layer: string | null;
  /** 'aten::exp', as the program called it. */
  readonly op: string;
  readonly kind: 'range' | 'vanishing constant';
  /** The number that decides: of the operand, or the constant. */
  readonly looksAt: Risk['looksAt'] | 'constant';
  readonly value: number;
  readonly unsafe: boolean;
  readonly danger: string;
  readonly calls: number;
}

/** Looks at the operands of operations at risk while a pass in low precision runs. HOST SYNC: one for each use. */
export class RiskWatcher {
  private readonly low: 'float16' | 'bfloat16';
  private readonly uses = new Map<string, RiskyUse>();

  constructor(low: 'float16' | 'bfloat16') {
    this.low = low;
  }

  found(): RiskyUse[] {
    return [...this.uses.values()];
  }

  /** Calls the operation and notes it when it is at risk. */
  call(
    name: string,
    args: readonly unknown[],
    proceed: (args: readonly unknown[]) => unknown,
    layer: string | null,
  ): unknown {
    const plain = name.replace(/^aten::/, '').replace(/_$/, '');
    const risk = RISKS[plain];
    // Before the call: in place, it overwrites its operand.
    const value = risk === undefined ? null : this.look(risk, args);
    const result = proceed(args);
    if (!this.isLow(result)) return result;
    if (risk !== undefined && value !== null && !harmlessPower(plain, args))
      this.noteRange(risk, name, layer, value);
    if (FLOORS.has(plain)) this.noteConstant(name, args[1], layer);
    return result;
  }

  private isLow(result: unknown): boolean {
    return result instanceof Tensor && result.dtype === this.low;
  }

  private look({ operand, looksAt }: Risk, args: readonly unknown[]): number | null {
    const value = args[operand];
    if (typeof value === 'number') return looksAt === 'smallest magnitude' ? Math.abs(value) : value;
    if (!(value instanceof Tensor) || !value.isFloatingPoint() || value.numel() === 0) return null;
    return scope(() =>
      noGrad(() => {
        const seen = value.detach();
        const one =
          looksAt === 'largest' ? ops.max(seen) : ops.min(looksAt === 'smallest' ? seen : seen.abs());
        return Number(one.item());
      }),
    );
  }

  private noteRange(risk: Risk, op: string, layer: string | null, value: number): void {
    const { looksAt, danger } = risk;
    const unsafe = risk.unsafe(value, limitsOf(this.low));
    if (risk.common && !unsafe) return;
    this.note({ layer, op, kind: 'range', looksAt, value, unsafe, danger, calls: 1 });
  }

  private noteConstant(op: string, constant: unknown, layer: string | null): void {
    if (typeof constant !== 'number' || constant === 0) return;
    const smallest = limitsOf(this.low).smallestNormal * (this.low === 'float16' ? 2 ** -10 : 2 ** -7);
    if (Math.abs(constant) >= smallest / 2) return;
    this.note({
      layer,
      op,
      kind: 'vanishing constant',
      looksAt: 'constant',
      value: constant,
      unsafe: true,
      danger: `${this.low} has nothing between 0 and ${smallest.toPrecision(1)}`,
      calls: 1,
    });
  }

  private note(use: RiskyUse): void {
    const key = JSON.stringify([use.layer, use.op, use.kind]);
    const known = this.uses.get(key);
    if (known === undefined) {
      this.uses.set(key, use);
      return;
    }
    const further = use.looksAt === 'largest' ? use.value > known.value : use.value < known.value;
    const value = further ? use.value : known.value;
    this.uses.set(key, { ...known, value, unsafe: known.unsafe || use.unsafe, calls: known.calls + 1 });
  }
}

/** x², x³, …: products, which no small base harms. */
function harmlessPower(plain: string, args: readonly unknown[]): boolean {
  const exponent = args[1];
  return plain === 'pow' && typeof exponent === 'number' && Number.isInteger(exponent) && exponent > 0;
}
