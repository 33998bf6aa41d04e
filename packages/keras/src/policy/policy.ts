import { type DType, didYouMean } from '@mezzo/torch';
import { KerasError } from '../errors.ts';

interface Dtypes {
  readonly compute: DType;
  readonly variable: DType;
}

/** Every policy by name: what a layer computes in, and what its variables are kept in. */
const POLICIES: Readonly<Record<string, Dtypes>> = {
  float32: { compute: 'float32', variable: 'float32' },
  mixed_float16: { compute: 'float16', variable: 'float32' },
  mixed_bfloat16: { compute: 'bfloat16', variable: 'float32' },
  float16: { compute: 'float16', variable: 'float16' },
  bfloat16: { compute: 'bfloat16', variable: 'bfloat16' },
  float64: { compute: 'float64', variable: 'float64' },
};

/**
 * The dtypes of a layer (keras.DTypePolicy): it casts its inputs and, when they are read, its variables to
 * `computeDtype`; the variables themselves stay in `variableDtype`.
 */
export class Policy {
  readonly name: string;
  readonly computeDtype: DType;
  readonly variableDtype: DType;

  /** @throws KerasError UNKNOWN_ID for a name that is no policy, offering the nearest */
  constructor(name: string) {
    const dtypes = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
    if (dtypes === undefined) {
      const names = Object.keys(POLICIES);
      throw new KerasError(
        'UNKNOWN_ID',
        `unknown policy '${name}'${didYouMean(name, names)}`,
        `the policies are ${names.join(', ')}`,
      );
    }
    this.name = name;
    this.computeDtype = dtypes.compute;
    this.variableDtype = dtypes.variable;
  }

  toString(): string {
    return `<Policy "${this.name}">`;
  }
}

let current = new Policy('float32');

/** The policy of layers that name none; 'float32' at the start. */
export const globalPolicy = (): Policy => current;

/**
 * Sets the policy of the layers made from now on.
 * @throws KerasError UNKNOWN_ID
 */
export function setGlobalPolicy(policy: Policy | string): void {
  current = asPolicy(policy);
}

/** A policy by itself, by its name, or the global one. */
export const asPolicy = (policy?: Policy | string): Policy =>
  policy === undefined ? current : typeof policy === 'string' ? new Policy(policy) : policy;
