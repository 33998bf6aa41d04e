import { TorchError } from '@mezzo/libtorch';
import { type OpFunction, op } from '../../ops/call.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export type InterpolationMode =
  | 'nearest'
  | 'nearest-exact'
  | 'linear'
  | 'bilinear'
  | 'bicubic'
  | 'trilinear'
  | 'area';

export interface InterpolateOptions {
  /** Output size of the spatial dimensions. Either this or scaleFactor. */
  size?: number | readonly number[];
  scaleFactor?: number | readonly number[];
  mode?: InterpolationMode;
  /** Let the corner pixels of input and output coincide (linear and cubic modes). */
  alignCorners?: boolean;
}

interface Interpolation {
  readonly call: OpFunction;
  readonly corners: boolean;
}

const interpolation = (name: string, corners: boolean): Interpolation => ({
  call: op(`aten::${name}`, 'vec'),
  corners,
});

/** Mode → dimensions of the input (with batch and channels) → op. */
const INTERPOLATIONS: Partial<Record<InterpolationMode, Record<number, Interpolation>>> = {
  nearest: {
    3: interpolation('upsample_nearest1d', false),
    4: interpolation('upsample_nearest2d', false),
    5: interpolation('upsample_nearest3d', false),
  },
  'nearest-exact': {
    3: interpolation('_upsample_nearest_exact1d', false),
    4: interpolation('_upsample_nearest_exact2d', false),
    5: interpolation('_upsample_nearest_exact3d', false),
  },
  linear: { 3: interpolation('upsample_linear1d', true) },
  bilinear: { 4: interpolation('upsample_bilinear2d', true) },
  bicubic: { 4: interpolation('upsample_bicubic2d', true) },
  trilinear: { 5: interpolation('upsample_trilinear3d', true) },
};

const areaPools = new Map([
  [3, op('aten::adaptive_avg_pool1d')],
  [4, op('aten::adaptive_avg_pool2d')],
  [5, op('aten::adaptive_avg_pool3d')],
]);

/** Resizes the spatial dimensions of [N, C, …] (torch.nn.functional.interpolate). */
export function interpolate(input: Tensor, options: InterpolateOptions): Tensor {
  const { size, scaleFactor, mode = 'nearest', alignCorners = false } = options;
  if ((size === undefined) === (scaleFactor === undefined)) {
    const message =
      size === undefined
        ? 'either size or scale_factor should be defined'
        : 'only one of size or scale_factor should be defined';
    throw new TorchError('VALUE', message);
  }
  const ndim = input.ndim;
  const sizes = perDimension(size, ndim - 2);
  const scales = perDimension(scaleFactor, ndim - 2);
  if (mode === 'area') return interpolateArea(input, sizes, scales);
  const found = INTERPOLATIONS[mode]?.[ndim];
  if (found === undefined) {
    throw new TorchError(
      'NOT_IMPLEMENTED',
      `interpolate: mode '${mode}' does not take inputs of ${ndim} dimensions`,
    );
  }
  const { call, corners } = found;
  return corners ? call(input, sizes, alignCorners, scales) : call(input, sizes, scales);
}

function interpolateArea(input: Tensor, sizes: number[] | null, scales: number[] | null): Tensor {
  const pool = areaPools.get(input.ndim);
  if (pool === undefined) {
    throw new TorchError(
      'NOT_IMPLEMENTED',
      `interpolate: mode 'area' does not take inputs of ${input.ndim} dimensions`,
    );
  }
  const output = sizes ?? input.shape.slice(2).map((size, i) => Math.floor(size * scales![i]!));
  return pool(input, output);
}

const perDimension = (value: number | readonly number[] | undefined, dims: number): number[] | null =>
  value === undefined ? null : typeof value === 'number' ? new Array<number>(dims).fill(value) : [...value];

const padOp = op('aten::pad');
const pixelShuffleOp = op('aten::pixel_shuffle');
const pixelUnshuffleOp = op('aten::pixel_unshuffle');
const gridSamplerOp = op('aten::grid_sampler');
const unfoldOp = op('aten::im2col');
const foldOp = op('aten::col2im');
const channelShuffleOp = op('aten::channel_shuffle');
const affineGridOp = op('aten::affine_grid_generator');

export interface PadOptions {
  mode?: 'constant' | 'reflect' | 'replicate' | 'circular';
  value?: number;
}

/** Pads from the last dimension backwards: [left, right, top, bottom, …]; negative numbers crop. */
export const pad = (input: Tensor, padding: readonly number[], options: PadOptions = {}): Tensor => {
  const { mode = 'constant', value = 0 } = options;
  return mode === 'constant' ? padOp(input, padding, mode, value) : padOp(input, padding, mode);
};

/** [N, C·r², H, W] → [N, C, H·r, W·r] */
export const pixelShuffle = (input: Tensor, factor: number): Tensor => pixelShuffleOp(input, factor);

export const pixelUnshuffle = (input: Tensor, factor: number): Tensor => pixelUnshuffleOp(input, factor);

/** Mixes the channels of `groups` groups: [N, g·c, …] read as [c, g]. */
export const channelShuffle = (input: Tensor, groups: number): Tensor => channelShuffleOp(input, groups);

/** The grid of `gridSample` for affine maps theta [N, 2, 3] and an output of `size` [N, C, H, W]. */
export const affineGrid = (
  theta: Tensor,
  size: readonly number[],
  options: { alignCorners?: boolean } = {},
): Tensor => affineGridOp(theta, size, options.alignCorners ?? false);

const GRID_MODES = { bilinear: 0, nearest: 1, bicubic: 2 };
const GRID_PADDINGS = { zeros: 0, border: 1, reflection: 2 };

export interface GridSampleOptions {
  mode?: keyof typeof GRID_MODES;
  paddingMode?: keyof typeof GRID_PADDINGS;
  alignCorners?: boolean;
}

/** Samples input [N, C, H, W] at `grid` [N, H', W', 2] of x, y in [-1, 1]. */
export const gridSample = (input: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor =>
  gridSamplerOp(
    input,
    grid,
    GRID_MODES[options.mode ?? 'bilinear'],
    GRID_PADDINGS[options.paddingMode ?? 'zeros'],
    options.alignCorners ?? false,
  );

export interface UnfoldOptions {
  dilation?: number | readonly [number, number];
  padding?: number | readonly [number, number];
  stride?: number | readonly [number, number];
}

/** Sliding blocks as columns: [N, C, H, W] → [N, C·kH·kW, blocks]. */
export const unfold = (
  input: Tensor,
  kernelSize: number | readonly [number, number],
  options: UnfoldOptions = {},
): Tensor => unfoldOp(input, kernelSize, options.dilation ?? 1, options.padding ?? 0, options.stride ?? 1);

/** Sums sliding blocks back into an image: [N, C·kH·kW, blocks] → [N, C, H, W]. */
export const fold = (
  input: Tensor,
  outputSize: number | readonly [number, number],
  kernelSize: number | readonly [number, number],
  options: UnfoldOptions = {},
): Tensor =>
  foldOp(input, outputSize, kernelSize, options.dilation ?? 1, options.padding ?? 0, options.stride ?? 1);
