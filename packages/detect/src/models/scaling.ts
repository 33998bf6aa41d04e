import { roundHalfEven } from '../rounding.ts';
import { ModelError } from './errors.ts';

/** Depth multiple, width multiple, largest number of channels before the width multiple. */
export type Scale = readonly [depth: number, width: number, maxChannels?: number];

/** The keys of a model table that set its size. Their values are checked here. */
interface Sizes {
  readonly scale?: string;
  readonly scales?: Readonly<Record<string, Scale>>;
  readonly depth_multiple?: number;
  readonly width_multiple?: number;
  readonly max_channels?: number;
}

/**
 * The size of a table: the row of `scales` that `scale`, or the letter in the file's name, stands for, else the first
 * one; without `scales` the two multiples.
 * @throws {ModelError} `BAD_MODEL` for a letter without a row, and for what are no numbers above 0
 */
export function chooseScale(
  table: Sizes,
  letterOfName: string | undefined,
): { letter?: string; factors: Scale } {
  const { scales, depth_multiple = 1, width_multiple = 1, max_channels } = table;
  if (scales === undefined || scales === null) {
    const factors = asScale([depth_multiple, width_multiple, max_channels]);
    if (factors !== undefined) return { factors };
    throw new ModelError(
      'BAD_MODEL',
      "model table: 'depth_multiple', 'width_multiple' and 'max_channels' must be numbers above 0",
      { key: 'width_multiple' },
    );
  }
  const letters = Object.keys(scales);
  const letter = String(table.scale ?? letterOfName ?? letters[0] ?? '');
  const factors = asScale(Object.hasOwn(scales, letter) ? scales[letter] : null);
  if (factors !== undefined) return { letter, factors };
  throw new ModelError(
    'BAD_MODEL',
    `model table: no scale '${letter}' of the form [depth, width, max channels]`,
    { key: 'scales', hint: `scales: ${letters.join(', ')}; each has two or three numbers above 0` },
  );
}

function asScale(factors: unknown): Scale | undefined {
  const [depth, width, maxChannels] = Array.isArray(factors) ? (factors as unknown[]) : [];
  // An empty value in a YAML file is null.
  const scale = [depth, width, maxChannels ?? Infinity];
  return scale.every(isPositive) ? (scale as unknown as Scale) : undefined;
}
const isPositive = (value: unknown): boolean => typeof value === 'number' && value > 0;

/** How often a block is repeated: a single one is never left out, nor multiplied. */
export function scaleDepth(repeats: number, depth: number): number {
  return repeats === 1 ? 1 : Math.max(roundHalfEven(repeats * depth), 1);
}

/** Channels, in multiples of 8. */
export function scaleWidth(channels: number, [, width, maxChannels = Infinity]: Scale): number {
  return Math.ceil((Math.min(channels, maxChannels) * width) / 8) * 8;
}
