import {
  type DType,
  empty,
  eye,
  full,
  nn,
  ones as onesOf,
  type Tensor,
  zeros as zerosOf,
} from '@mezzo/torch';
import { KerasError, lookUp } from '../errors.ts';
import { fans } from './fans.ts';
import { type SeedOption, source } from './seed.ts';

export interface Place {
  dtype: DType;
  device: string;
}

/** Makes the first values of a variable. */
export type Initializer = (shape: readonly number[], place: Place) => Tensor;
/** An id such as 'glorot_uniform', or a function. */
export type InitializerId = string | Initializer;

export const zeros = (): Initializer => (shape, place) => zerosOf(shape, place);
export const ones = (): Initializer => (shape, place) => onesOf(shape, place);
export const constant =
  ({ value = 0 } = {}): Initializer =>
  (shape, place) =>
    full(shape, value, place);

/** gain on the diagonal of a matrix. @throws KerasError BAD_OPTION for another number of dimensions */
export const identity =
  ({ gain = 1 } = {}): Initializer =>
  (shape, place) => {
    if (shape.length !== 2) {
      throw new KerasError(
        'BAD_OPTION',
        `identity initializer: needs a matrix, not shape [${shape.join(', ')}]`,
      );
    }
    return eye(shape[0]!, shape[1]!, place).mul(gain);
  };

interface Spread extends SeedOption {
  mean?: number;
  stddev?: number;
}

export const randomNormal = ({ mean = 0, stddev = 0.05, seed }: Spread = {}): Initializer => {
  const generator = source(seed);
  return drawn((made) => nn.init.normal_(made, mean, stddev, generator));
};

/** Normal, with what lies beyond two standard deviations drawn again. */
export const truncatedNormal = ({ mean = 0, stddev = 0.05, seed }: Spread = {}): Initializer => {
  const generator = source(seed);
  const [a, b] = [mean - 2 * stddev, mean + 2 * stddev];
  return drawn((made) => nn.init.truncNormal_(made, { mean, std: stddev, a, b, ...generator }));
};

export const randomUniform = ({
  minval = -0.05,
  maxval = 0.05,
  seed,
}: SeedOption & { minval?: number; maxval?: number } = {}): Initializer => {
  const generator = source(seed);
  return drawn((made) => nn.init.uniform_(made, minval, maxval, generator));
};

export const orthogonal = ({ gain = 1, seed }: SeedOption & { gain?: number } = {}): Initializer => {
  const generator = source(seed);
  return drawn((made) => {
    // Keras orthogonalises all but the last axis against the last.
    const rows = made.numel() / made.shape.at(-1)!;
    nn.init.orthogonal_(made.view(rows, -1), { gain, ...generator });
  });
};

export interface VarianceScalingOptions extends SeedOption {
  scale?: number;
  mode?: 'fan_in' | 'fan_out' | 'fan_avg';
  distribution?: 'truncated_normal' | 'untruncated_normal' | 'uniform';
}

/** The standard deviation of a standard normal cut off at ±2. */
const CUT_NORMAL_STD = 0.8796256610342398;

/** Variance scale / fan (keras.initializers.VarianceScaling). */
export const varianceScaling = ({
  scale = 1,
  mode = 'fan_in',
  distribution = 'truncated_normal',
  seed,
}: VarianceScalingOptions = {}): Initializer => {
  const generator = source(seed);
  return drawn((made) => {
    const { fanIn, fanOut } = fans(made.shape);
    const fan = { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 }[mode];
    const std = Math.sqrt(scale / Math.max(1, fan));
    if (distribution === 'uniform') {
      nn.init.uniform_(made, -Math.sqrt(3) * std, Math.sqrt(3) * std, generator);
    } else if (distribution === 'untruncated_normal') nn.init.normal_(made, 0, std, generator);
    else {
      const cut = std / CUT_NORMAL_STD;
      nn.init.truncNormal_(made, { std: cut, a: -2 * cut, b: 2 * cut, ...generator });
    }
  });
};

const scaled =
  (
    scale: number,
    mode: VarianceScalingOptions['mode'],
    distribution: VarianceScalingOptions['distribution'],
  ) =>
  (options: SeedOption = {}): Initializer =>
    varianceScaling({ scale, mode, distribution, ...options });

export const glorotUniform = scaled(1, 'fan_avg', 'uniform');
export const glorotNormal = scaled(1, 'fan_avg', 'truncated_normal');
export const heUniform = scaled(2, 'fan_in', 'uniform');
export const heNormal = scaled(2, 'fan_in', 'truncated_normal');
export const lecunUniform = scaled(1, 'fan_in', 'uniform');
export const lecunNormal = scaled(1, 'fan_in', 'truncated_normal');

const INITIALIZERS: Readonly<Record<string, () => Initializer>> = {
  glorot_uniform: glorotUniform,
  glorot_normal: glorotNormal,
  he_uniform: heUniform,
  he_normal: heNormal,
  lecun_uniform: lecunUniform,
  lecun_normal: lecunNormal,
  zeros,
  ones,
  constant,
  identity,
  random_normal: randomNormal,
  random_uniform: randomUniform,
  normal: randomNormal,
  uniform: randomUniform,
  truncated_normal: truncatedNormal,
  orthogonal,
  variance_scaling: varianceScaling,
};

/** @throws KerasError UNKNOWN_ID */
export const asInitializer = (id: InitializerId): Initializer =>
  typeof id === 'function' ? id : lookUp('initializer', id, INITIALIZERS)();

/** Drawn on the CPU in float32, so that a seed means the same values everywhere, then moved and rounded. */
const drawn =
  (draw: (made: Tensor) => unknown): Initializer =>
  (shape, place) => {
    const made = empty(shape);
    draw(made);
    return made.to(place);
  };
