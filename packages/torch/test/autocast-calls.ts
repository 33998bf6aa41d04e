import { autocast, type OpFunction, op, type Tensor, tensor } from '../src/index.ts';

type Low = 'bfloat16' | 'float16';

/** Tensors of one column of the table: `t` in its input dtype, `o` in the other of float32 and the low one. */
export interface Operands {
  t: (...shape: number[]) => Tensor;
  o: (...shape: number[]) => Tensor;
  /** float32 in every column. */
  f: (...shape: number[]) => Tensor;
}

export type Call = (operands: Operands) => Tensor;

export function operands(low: Low, input: 'f32_in' | 'low_in'): Operands {
  const [own, other] = input === 'f32_in' ? (['float32', low] as const) : ([low, 'float32'] as const);
  return {
    t: (...shape) => values(shape).to(own),
    o: (...shape) => values(shape).to(other),
    f: (...shape) => values(shape),
  };
}

/** Between 0.1 and 0.9, all different: inside the domain of every function of the table. */
function values(shape: number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensor(
    Float32Array.from({ length: count }, (_, i) => 0.1 + (0.8 * ((i * 7) % count)) / count),
    { shape },
  );
}

const ops = new Map<string, OpFunction>();

/** The aten operator of that name. */
function aten<R = Tensor>(name: string, ...args: unknown[]): R {
  let found = ops.get(name);
  if (found === undefined) {
    found = op<OpFunction>(`aten::${name}`);
    ops.set(name, found);
  }
  return found(...args) as R;
}

const first = (name: string, ...args: unknown[]): Tensor => aten<Tensor[]>(name, ...args)[0]!;
const ints = (...numbers: number[]): Tensor => tensor(numbers, { dtype: 'int64' });

const MEAN = 1;

const unary = (...names: string[]): Record<string, Call> =>
  Object.fromEntries(names.map((name) => [name, ({ t }: Operands) => aten(name, t(3, 4))]));

/** `name_same` and `name_mixed`: two operands of one dtype, or the second of the other one. */
const binary = (...names: string[]): Record<string, Call> =>
  Object.fromEntries(
    names.flatMap((name) => [
      [`${name}_same`, ({ t }: Operands) => aten(name, t(3, 4), t(3, 4))],
      [`${name}_mixed`, ({ t, o }: Operands) => aten(name, t(3, 4), o(3, 4))],
    ]),
  );

const MATMUL: Record<string, Call> = {
  conv1d: ({ t }) => aten('conv1d', t(1, 3, 8), t(4, 3, 3), t(4)),
  conv2d: ({ t }) => aten('conv2d', t(1, 3, 8, 8), t(4, 3, 3, 3), t(4)),
  conv2d_depthwise: ({ t }) => aten('conv2d', t(1, 4, 8, 8), t(4, 1, 3, 3), null, 1, 1, 1, 4),
  conv3d: ({ t }) => aten('conv3d', t(1, 2, 4, 4, 4), t(3, 2, 3, 3, 3)),
  conv_transpose1d: ({ t }) => aten('conv_transpose1d', t(1, 3, 8), t(3, 4, 3)),
  conv_transpose2d: ({ t }) => aten('conv_transpose2d', t(1, 3, 8, 8), t(3, 4, 3, 3)),
  conv_transpose3d: ({ t }) => aten('conv_transpose3d', t(1, 2, 4, 4, 4), t(2, 3, 3, 3, 3)),
  linear: ({ t }) => aten('linear', t(2, 4), t(3, 4), t(3)),
  linear_no_bias: ({ t }) => aten('linear', t(2, 4), t(3, 4)),
  matmul: ({ t }) => aten('matmul', t(2, 3, 4), t(4, 5)),
  mm: ({ t }) => aten('mm', t(3, 4), t(4, 5)),
  mv: ({ t }) => aten('mv', t(3, 4), t(4)),
  dot: ({ t }) => aten('dot', t(4), t(4)),
  bmm: ({ t }) => aten('bmm', t(2, 3, 4), t(2, 4, 5)),
  addmm: ({ t }) => aten('addmm', t(3, 5), t(3, 4), t(4, 5)),
  addmv: ({ t }) => aten('addmv', t(3), t(3, 4), t(4)),
  addr: ({ t }) => aten('addr', t(3, 4), t(3), t(4)),
  addbmm: ({ t }) => aten('addbmm', t(3, 5), t(2, 3, 4), t(2, 4, 5)),
  baddbmm: ({ t }) => aten('baddbmm', t(2, 3, 5), t(2, 3, 4), t(2, 4, 5)),
  einsum_bij_bjk: ({ t }) => aten('einsum', 'bij,bjk->bik', [t(2, 3, 4), t(2, 4, 5)]),
  einsum_ij_sum: ({ t }) => aten('einsum', 'ij->', [t(3, 4)]),
  outer: ({ t }) => aten('outer', t(3), t(4)),
  chain_matmul: ({ t }) => aten('chain_matmul', [t(3, 4), t(4, 5), t(5, 2)]),
  linalg_vecdot: ({ t }) => aten('linalg_vecdot', t(3, 4), t(3, 4)),
  scaled_dot_product_attention: ({ t }) =>
    aten('scaled_dot_product_attention', t(1, 2, 4, 8), t(1, 2, 4, 8), t(1, 2, 4, 8)),
  matmul_operator_transposed: ({ t }) => aten('matmul', t(3, 4), t(5, 4).transpose(0, 1)),
  prelu: ({ t }) => aten('prelu', t(2, 3, 4), t(3)),
  bilinear: ({ t }) => aten('bilinear', t(2, 3), t(2, 4), t(5, 3, 4), t(5)),
  gru_cell: ({ t }) => aten('gru_cell', t(2, 3), t(2, 4), t(12, 3), t(12, 4), t(12), t(12)),
};

const POINTWISE: Record<string, Call> = {
  ...unary(
    'relu',
    'silu',
    'sigmoid',
    'tanh',
    'hardswish',
    'hardsigmoid',
    'leaky_relu',
    'gelu',
    'mish',
    'elu',
  ),
  ...unary(
    'softplus',
    'abs',
    'neg',
    'sign',
    'floor',
    'round',
    'sin',
    'cos',
    'atan',
    'square',
    'exp',
    'expm1',
  ),
  ...unary('log', 'log2', 'log10', 'log1p', 'sqrt', 'rsqrt', 'reciprocal', 'erf', 'erfinv', 'acos', 'tan'),
  ...unary('cosh', 'sinh', 'lgamma', 'digamma'),
  gelu_tanh: ({ t }) => aten('gelu', t(3, 4), { approximate: 'tanh' }),
  logsigmoid: ({ t }) => aten('log_sigmoid', t(3, 4)),
  pow_scalar: ({ t }) => aten('pow', t(3, 4), 2),
  pow_half: ({ t }) => aten('pow', t(3, 4), 0.5),
  pow_tensor: ({ t }) => aten('pow', t(3, 4), t(3, 4)),
  rpow_scalar_base: ({ t }) => aten('pow', 2, t(3, 4)),
  clamp: ({ t }) => aten('clamp', t(3, 4), 0.2, 0.5),
  clamp_min_tensor: ({ t }) => aten('clamp_min', t(3, 4), t(3, 4)),
};

const BINARY: Record<string, Call> = {
  ...binary('add', 'sub', 'mul', 'div', 'maximum', 'minimum', 'atan2', 'fmod'),
  add_scalar: ({ t }) => aten('add', t(3, 4), 2),
  mul_scalar: ({ t }) => aten('mul', t(3, 4), 2.5),
  div_int_scalar: ({ t }) => aten('div', t(3, 4), 2),
  add_zero_dim_f32: ({ t }) => aten('add', t(3, 4), tensor(2)),
  mul_f64_zero_dim: ({ t }) => aten('mul', t(3, 4), tensor(2, { dtype: 'float64' })),
  mul_bool: ({ t }) => aten('mul', t(2), tensor([true, false])),
  mul_int64: ({ t }) => aten('mul', t(2), ints(2, 3)),
  add_inplace_mixed: ({ t, o }) => aten('add_', t(3, 4), o(3, 4)),
  gt_mixed: ({ t, o }) => aten('gt', t(3, 4), o(3, 4)),
  eq: ({ t }) => aten('eq', t(3, 4), t(3, 4)),
  where_same: ({ t }) => aten('where', tensor([true, false]), t(2), t(2)),
  where_mixed: ({ t, o }) => aten('where', tensor([true, false]), t(2), o(2)),
  where_scalar: ({ t }) => aten('where', tensor([true, false]), t(2), 0.5),
  addcmul_same: ({ t }) => aten('addcmul', t(3), t(3), t(3)),
  addcmul_mixed: ({ t, o }) => aten('addcmul', t(3), t(3), o(3)),
  addcdiv_mixed: ({ t, o }) => aten('addcdiv', t(3), t(3), o(3)),
  lerp: ({ t }) => aten('lerp', t(3), t(3), 0.5),
  cross: ({ t }) => aten('cross', t(2, 3), t(2, 3)),
};

const JOIN: Record<string, Call> = {
  cat_same: ({ t }) => aten('cat', [t(2, 3), t(2, 3)]),
  cat_mixed: ({ t, o }) => aten('cat', [t(2, 3), o(2, 3)]),
  stack_same: ({ t }) => aten('stack', [t(2, 3), t(2, 3)]),
  stack_mixed: ({ t, o }) => aten('stack', [t(2, 3), o(2, 3)]),
  index_put_same: ({ t }) => aten('index_put', t(4, 3), [ints(0, 2)], t(2, 3)),
  index_put_mixed: ({ t, o }) => aten('index_put', t(4, 3), [ints(0, 2)], o(2, 3)),
  setitem_mixed: ({ t, o }) => t(4, 3).put([ints(0, 2)], o(2, 3)),
  scatter_add_same: ({ t }) => aten('scatter_add', t(3), 0, ints(0, 0, 1), t(3)),
  scatter_add_mixed: ({ t, o }) => aten('scatter_add', t(3), 0, ints(0, 0, 1), o(3)),
  index_add_mixed: ({ t, o }) => aten('index_add_', t(4, 3), 0, ints(0, 2), o(2, 3)),
  index_copy_mixed: ({ t, o }) => aten('index_copy', t(4, 3), 0, ints(0, 2), o(2, 3)),
  masked_fill: ({ t }) => aten('masked_fill', t(2), tensor([true, false]), 0.5),
  copy_mixed: ({ t, o }) => aten('copy_', t(3), o(3)),
  gather: ({ t }) => aten('gather', t(3), 0, ints(0, 2)),
  embedding: ({ t }) => aten('embedding', t(5, 3), ints(0, 4)),
  pad_reflect: ({ t }) => aten('pad', t(1, 2, 4, 4), [1, 1, 1, 1], 'reflect'),
  pad_constant: ({ t }) => aten('pad', t(1, 2, 4, 4), [1, 1, 1, 1]),
  meshgrid_first: ({ t }) => first('meshgrid', [t(2), t(3)], { indexing: 'ij' }),
  zeros_like: ({ t }) => aten('zeros_like', t(3)),
  one_hot_times: ({ t }) => aten('mul', aten('one_hot', ints(0, 2), 3), t(2, 3)),
};

const REDUCE: Record<string, Call> = {
  ...unary('sum', 'mean', 'prod', 'std', 'var', 'norm', 'linalg_vector_norm', 'linalg_matrix_norm', 'amax'),
  ...unary('max', 'argmax', 'median'),
  sum_dim: ({ t }) => aten('sum', t(3, 4), [1]),
  mean_dim: ({ t }) => aten('mean', t(3, 4), [1]),
  prod_dim: ({ t }) => aten('prod', t(3, 4), 1),
  cumsum: ({ t }) => aten('cumsum', t(3, 4), 1),
  cumprod: ({ t }) => aten('cumprod', t(3, 4), 1),
  logsumexp: ({ t }) => aten('logsumexp', t(3, 4), [1]),
  topk_values: ({ t }) => first('topk', t(3, 4), 2),
  sort_values: ({ t }) => first('sort', t(3, 4)),
  dist: ({ t }) => aten('dist', t(3), t(3)),
  cdist: ({ t }) => aten('cdist', t(3, 4), t(2, 4)),
  pdist: ({ t }) => aten('pdist', t(3, 4)),
  renorm: ({ t }) => aten('renorm', t(3, 4), 2, 0, 1),
  cosine_similarity: ({ t }) => aten('cosine_similarity', t(3, 4), t(3, 4)),
  normalize: ({ t }) => {
    const x = t(3, 4);
    return aten('div', x, aten('clamp_min', aten('norm', x, 2, [1], true), 1e-12).expand([3, 4]));
  },
};

/** Sum of squares over neighbouring channels, as the Python function of that name composes it. */
const localResponseNorm: Call = ({ t }) => {
  const x = t(1, 4, 3, 3);
  const squares = aten('pad', aten('mul', x, x).view([1, 1, 4, 3, 3]), [0, 0, 0, 0, 1, 0]);
  const mean = aten('squeeze', aten('avg_pool3d', squares, [2, 1, 1], 1), 1);
  return aten('div', x, aten('pow', aten('add', aten('mul', mean, 1e-4), 1), 0.75));
};

const NORM: Record<string, Call> = {
  softmax: ({ t }) => aten('softmax', t(3, 4), 1),
  log_softmax: ({ t }) => aten('log_softmax', t(3, 4), 1),
  softmin: ({ t }) => aten('softmax', aten('neg', t(3, 4)), 1),
  softmax_dtype_f32: ({ t }) => aten('softmax', t(3, 4), 1, 'float32'),
  layer_norm: ({ t }) => aten('layer_norm', t(3, 4), [4], t(4), t(4)),
  layer_norm_f32_weights: ({ t, f }) => aten('layer_norm', t(3, 4), [4], f(4), f(4)),
  group_norm: ({ t }) => aten('group_norm', t(2, 4, 3), 2, t(4), t(4)),
  group_norm_f32_weights: ({ t, f }) => aten('group_norm', t(2, 4, 3), 2, f(4), f(4)),
  instance_norm: ({ t }) =>
    aten('instance_norm', t(2, 3, 4, 4), null, null, null, null, true, 0.1, 1e-5, false),
  batch_norm_train_f32_weights: ({ t, f }) =>
    aten('batch_norm', t(2, 3, 4, 4), f(3), f(3), f(3), f(3), true, 0.1, 1e-5, false),
  batch_norm_eval_f32_weights: ({ t, f }) =>
    aten('batch_norm', t(2, 3, 4, 4), f(3), f(3), f(3), f(3), false, 0.1, 1e-5, false),
  rms_norm: ({ t }) => aten('rms_norm', t(3, 4), [4], t(4)),
  local_response_norm: localResponseNorm,
};

const POOL: Record<string, Call> = {
  max_pool2d: ({ t }) => aten('max_pool2d', t(1, 2, 6, 6), 2),
  max_pool2d_k5s1p2: ({ t }) => aten('max_pool2d', t(1, 2, 6, 6), 5, 1, 2),
  avg_pool2d: ({ t }) => aten('avg_pool2d', t(1, 2, 6, 6), 2),
  avg_pool3d: ({ t }) => aten('avg_pool3d', t(1, 2, 4, 4, 4), 2),
  adaptive_avg_pool2d: ({ t }) => aten('adaptive_avg_pool2d', t(1, 2, 6, 6), [2, 2]),
  adaptive_avg_pool3d: ({ t }) => aten('adaptive_avg_pool3d', t(1, 2, 4, 4, 4), [2, 2, 2]),
  adaptive_max_pool2d: ({ t }) => first('adaptive_max_pool2d', t(1, 2, 6, 6), [2, 2]),
  max_unpool2d: ({ t }) => {
    const [pooled, indices] = aten<Tensor[]>('max_pool2d_with_indices', t(1, 2, 6, 6), 2);
    return aten('max_unpool2d', pooled, indices, [6, 6]);
  },
  interpolate_nearest: ({ t }) => aten('upsample_nearest2d', t(1, 2, 4, 4), null, [2, 2]),
  interpolate_bilinear: ({ t }) => aten('upsample_bilinear2d', t(1, 2, 4, 4), null, false, [2, 2]),
  interpolate_bicubic: ({ t }) => aten('upsample_bicubic2d', t(1, 2, 4, 4), null, false, [2, 2]),
  interpolate_area: ({ t }) => aten('adaptive_avg_pool2d', t(1, 2, 6, 6), [3, 3]),
  interpolate_linear: ({ t }) => aten('upsample_linear1d', t(1, 2, 4), null, false, [2]),
  interpolate_trilinear: ({ t }) => aten('upsample_trilinear3d', t(1, 2, 4, 4, 4), null, false, [2, 2, 2]),
  grid_sample: ({ t }) => aten('grid_sampler', t(1, 2, 4, 4), t(1, 3, 3, 2), 0, 0, false),
  affine_grid: ({ t }) => aten('affine_grid_generator', t(1, 2, 3), [1, 2, 4, 4], false),
  grid_sample_mixed: ({ t, o }) => aten('grid_sampler', t(1, 2, 4, 4), o(1, 3, 3, 2), 0, 0, false),
  unfold: ({ t }) => aten('im2col', t(1, 2, 4, 4), [2, 2], [1, 1], [0, 0], [1, 1]),
  pixel_shuffle: ({ t }) => aten('pixel_shuffle', t(1, 4, 3, 3), 2),
};

const pair = (name: string, ...rest: unknown[]): Record<string, Call> => ({
  [name]: ({ t }) => aten(name, t(3, 4), t(3, 4), ...rest),
  [`${name}_mixed`]: ({ t, o }) => aten(name, t(3, 4), o(3, 4), ...rest),
});

const LOSS: Record<string, Call> = {
  ...pair('mse_loss'),
  ...pair('l1_loss'),
  ...pair('smooth_l1_loss'),
  cross_entropy: ({ t }) => aten('cross_entropy_loss', t(2, 5), ints(1, 3)),
  cross_entropy_soft: ({ t }) => aten('cross_entropy_loss', t(2, 5), t(2, 5)),
  nll_loss: ({ t }) => aten('nll_loss_nd', t(2, 5), ints(1, 3)),
  bce_with_logits: ({ t }) => aten('binary_cross_entropy_with_logits', t(3, 4), t(3, 4)),
  bce_with_logits_mixed: ({ t, o }) => aten('binary_cross_entropy_with_logits', t(3, 4), o(3, 4)),
  bce_with_logits_none: ({ t }) => aten('binary_cross_entropy_with_logits', t(3, 4), t(3, 4), null, null, 0),
  binary_cross_entropy: ({ t }) => aten('binary_cross_entropy', t(3, 4), t(3, 4)),
  huber_loss: ({ t }) => aten('huber_loss', t(3, 4), t(3, 4)),
  kl_div: ({ t }) => aten('kl_div', t(3, 4), t(3, 4)),
  poisson_nll_loss: ({ t }) => aten('poisson_nll_loss', t(3, 4), t(3, 4), true, false, 1e-8, MEAN),
  soft_margin_loss: ({ t }) => aten('soft_margin_loss', t(3, 4), t(3, 4)),
  hinge_embedding_loss: ({ t }) => aten('hinge_embedding_loss', t(3, 4), t(3, 4)),
  margin_ranking_loss: ({ t }) => aten('margin_ranking_loss', t(3), t(3), t(3)),
  triplet_margin_loss: ({ t }) => aten('triplet_margin_loss', t(3, 4), t(3, 4), t(3, 4)),
  cosine_embedding_loss: ({ t }) => aten('cosine_embedding_loss', t(2, 4), t(2, 4), ints(1, -1)),
  multilabel_margin_loss: ({ t }) =>
    aten('multilabel_margin_loss', t(1, 4), tensor([[3, 0, -1, 1]], { dtype: 'int64' })),
  multi_margin_loss: ({ t }) => aten('multi_margin_loss', t(2, 4), ints(1, 3)),
  ctc_loss: ({ t }) =>
    aten(
      'ctc_loss',
      t(6, 2, 5),
      tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { dtype: 'int64' },
      ),
      [6, 6],
      [2, 2],
    ),
};

/** Symmetric and positive definite. */
const spd = ({ t }: Operands): Tensor => {
  const x = t(3, 3);
  return x.add(x.transpose(0, 1)).add(
    tensor([
      [4, 0, 0],
      [0, 4, 0],
      [0, 0, 4],
    ]).to(x.dtype),
  );
};

const LINALG: Record<string, Call> = {
  linalg_inv: (x) => aten('linalg_inv', spd(x)),
  linalg_svd: (x) => first('linalg_svd', spd(x)),
  linalg_qr: (x) => first('linalg_qr', spd(x)),
  linalg_cholesky: (x) => aten('linalg_cholesky', spd(x)),
  linalg_solve: (x) => aten('linalg_solve', spd(x), x.t(3)),
  trace: ({ t }) => aten('trace', t(3, 3)),
  tril: ({ t }) => aten('tril', t(3, 3)),
  fft_rfft: ({ t }) => aten('fft_rfft', t(8)),
  det: (x) => aten('det', spd(x)),
};

const double = (...shape: number[]) => values(shape).to('float64');

const DTYPE: Record<string, Call> = {
  to_f32_after: ({ t }) => aten('mm', t(3, 4), t(4, 5)).to('float32'),
  mm_f64_inputs: () => aten('mm', double(3, 4), double(4, 5)),
  mm_mixed: ({ t, o }) => aten('mm', t(3, 4), o(4, 5)),
  linear_low_input_f32_weight: ({ t, o }) => aten('linear', t(2, 4), o(3, 4)),
  conv2d_low_input_f32_weight: ({ t, o }) => aten('conv2d', t(1, 3, 8, 8), o(4, 3, 3, 3)),
  mm_out_variant: ({ t }) => aten('mm', t(3, 4), t(4, 5), { out: t(3, 5) }),
  addmm_inplace: ({ t }) => aten('addmm_', t(3, 5), t(3, 4), t(4, 5)),
  sum_dtype_f64: ({ t }) => aten('sum', t(3, 4), { dtype: 'float64' }),
  nested_disabled_mm: ({ t }) =>
    autocast({ device: 'cpu', enabled: false }, () => aten('mm', t(3, 4), t(4, 5))),
  int_mm_untouched: () => aten('mm', ints(1, 2, 3, 4).view([2, 2]), ints(1, 2, 3, 4).view([2, 2])),
};

/** How each row of the table is called, by its name there. */
export const CALLS: Record<string, Call> = {
  ...MATMUL,
  ...POINTWISE,
  ...BINARY,
  ...JOIN,
  ...REDUCE,
  ...NORM,
  ...POOL,
  ...LOSS,
  ...LINALG,
  ...DTYPE,
};
