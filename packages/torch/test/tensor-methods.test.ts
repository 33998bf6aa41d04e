import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { arange, ones, type Tensor, tensor, zeros } from '../src/index.ts';
import { assertClose, numbersOf } from './assert-close.ts';

const v = (...values: number[]) => tensor(values);
const m = () =>
  tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
const long = (...values: number[]) => tensor(values, { dtype: 'int64' });

/** Method calls beside the numbers that they give (shape first where it is not one-dimensional). */
function expectAll(cases: Record<string, [Tensor, number[], number[]?]>): void {
  for (const [name, [actual, data, shape = [data.length]]] of Object.entries(cases)) {
    assertClose(actual, { shape, data }, name);
  }
}

test('arithmetic', () => {
  expectAll({
    add: [v(1, 2).add(v(3, 4)), [4, 6]],
    addAlpha: [v(1, 2).add(v(3, 4), { alpha: 2 }), [7, 10]],
    sub: [v(1, 2).sub(1), [0, 1]],
    rsub: [v(1, 2).rsub(1), [0, -1]],
    mul: [v(1, 2).mul(0.5), [0.5, 1]],
    div: [v(7).div(2), [3.5]],
    divFloor: [v(-7).div(2, { roundingMode: 'floor' }), [-4]],
    divTrunc: [v(-7).div(2, { roundingMode: 'trunc' }), [-3]],
    floorDivide: [v(-7).floorDivide(2), [-4]],
    remainder: [v(-7).remainder(3), [2]],
    fmod: [v(-7).fmod(3), [-1]],
    pow: [v(2, 3).pow(2), [4, 9]],
    powTensor: [v(2, 3).pow(v(3, 2)), [8, 9]],
    neg: [v(1).neg(), [-1]],
    matmul: [m().matmul(v(1, 1, 1)), [6, 15]],
    mm: [m().mm(ones([3, 1])), [6, 15], [2, 1]],
    bmm: [ones([2, 1, 3]).bmm(ones([2, 3, 1])), [3, 3], [2, 1, 1]],
    mv: [m().mv(v(0, 0, 1)), [3, 6]],
    dot: [v(1, 2).dot(v(3, 4)), [11], []],
    outer: [v(1, 2).outer(v(3, 4)), [3, 4, 6, 8], [2, 2]],
    addmm: [ones([2, 1]).addmm(m(), ones([3, 1]), { beta: 2, alpha: 3 }), [20, 47], [2, 1]],
    addcmul: [v(1).addcmul(v(2), v(3), { value: 2 }), [13]],
    addcdiv: [v(1).addcdiv(v(6), v(3)), [3]],
    lerp: [v(0, 10).lerp(v(10, 20), 0.25), [2.5, 12.5]],
    maximum: [v(1, 5).maximum(v(3, 2)), [3, 5]],
    minimum: [v(1, 5).minimum(v(3, 2)), [1, 2]],
    atan2: [v(1).atan2(v(1)), [Math.PI / 4]],
  });
});

test('arithmetic in place', () => {
  const t = v(1, 2);
  for (const step of [
    t.add_(v(1, 1)),
    t.sub_(1),
    t.mul_(4),
    t.div_(2),
    t.pow_(2),
    t.neg_(),
    t.addcmul_(v(1, 1), v(1, 1)),
    t.addcdiv_(v(2, 2), v(2, 2), { value: 2 }),
    t.lerp_(v(1, 1), 0.5),
  ]) {
    assert.equal(step, t);
  }
  assert.deepEqual(numbersOf(t), [0, -6]);
});

test('comparison and logic', () => {
  const [t, f] = [tensor([true, false]), tensor([true, true])];
  expectAll({
    eq: [v(1, 2).eq(1), [1, 0]],
    ne: [v(1, 2).ne(v(1, 1)), [0, 1]],
    lt: [v(1, 2).lt(2), [1, 0]],
    le: [v(1, 3).le(2), [1, 0]],
    gt: [v(1, 3).gt(2), [0, 1]],
    ge: [v(1, 2).ge(2), [0, 1]],
    logicalAnd: [t.logicalAnd(f), [1, 0]],
    logicalOr: [t.logicalOr(f), [1, 1]],
    logicalXor: [t.logicalXor(f), [0, 1]],
    logicalNot: [t.logicalNot(), [0, 1]],
    bitwiseAnd: [long(6).bitwiseAnd(3), [2]],
    bitwiseOr: [long(6).bitwiseOr(1), [7]],
    bitwiseXor: [long(6).bitwiseXor(long(3)), [5]],
    bitwiseNot: [long(6).bitwiseNot(), [-7]],
    isfinite: [v(1, Number.NaN).isfinite(), [1, 0]],
    isnan: [v(1, Number.NaN).isnan(), [0, 1]],
    isinf: [v(1, Number.NEGATIVE_INFINITY).isinf(), [0, 1]],
  });
  assert.equal(v(1).equal(v(1)), true);
  assert.equal(v(1).equal(v(1, 2)), false);
  assert.equal(v(1).allclose(v(1.0001)), false);
  assert.equal(v(1).allclose(v(1.0001), { rtol: 1e-3 }), true);
  assert.equal(v(Number.NaN).allclose(v(Number.NaN), { equalNan: true }), true);
});

test('functions of each element', () => {
  const e = Math.E;
  expectAll({
    exp: [v(1).exp(), [e]],
    expm1: [v(1).expm1(), [e - 1]],
    log: [v(e).log(), [1]],
    log2: [v(8).log2(), [3]],
    log10: [v(100).log10(), [2]],
    log1p: [v(e - 1).log1p(), [1]],
    sqrt: [v(9).sqrt(), [3]],
    rsqrt: [v(4).rsqrt(), [0.5]],
    square: [v(3).square(), [9]],
    reciprocal: [v(4).reciprocal(), [0.25]],
    abs: [v(-2).abs(), [2]],
    sign: [v(-2, 0, 5).sign(), [-1, 0, 1]],
    sin: [v(1).sin(), [Math.sin(1)]],
    cos: [v(1).cos(), [Math.cos(1)]],
    tan: [v(1).tan(), [Math.tan(1)]],
    asin: [v(0.5).asin(), [Math.asin(0.5)]],
    acos: [v(0.5).acos(), [Math.acos(0.5)]],
    atan: [v(1).atan(), [Math.PI / 4]],
    erf: [v(0).erf(), [0]],
    tanh: [v(1).tanh(), [Math.tanh(1)]],
    sigmoid: [v(0).sigmoid(), [0.5]],
    relu: [v(-1, 1).relu(), [0, 1]],
    silu: [v(1).silu(), [1 / (1 + Math.exp(-1))]],
    softplus: [v(0).softplus(), [Math.LN2]],
    softmax: [v(0, Math.log(3)).softmax(0), [0.25, 0.75]],
    softmaxDouble: [v(0, 0).softmax(0, { dtype: 'float64' }), [0.5, 0.5]],
    logSoftmax: [v(0, 0).logSoftmax(0), [-Math.LN2, -Math.LN2]],
    clamp: [v(-1, 0.5, 2).clamp(0, 1), [0, 0.5, 1]],
    clampBelow: [v(-1, 2).clamp(0), [0, 2]],
    clampAbove: [v(-1, 2).clamp(null, 1), [-1, 1]],
    clampTensors: [v(-1, 2).clamp(v(0, 0), v(1, 1)), [0, 1]],
    clampMin: [v(-1, 2).clampMin(0), [0, 2]],
    clampMax: [v(-1, 2).clampMax(1), [-1, 1]],
    floor: [v(-1.5).floor(), [-2]],
    ceil: [v(-1.5).ceil(), [-1]],
    round: [v(0.5, 1.5, 2.5).round(), [0, 2, 2]],
    roundDecimals: [v(1.256).round({ decimals: 2 }), [1.26]],
    trunc: [v(-1.5).trunc(), [-1]],
    frac: [v(1.25).frac(), [0.25]],
    nanToNum: [v(Number.NaN, Number.POSITIVE_INFINITY).nanToNum(1, 2), [1, 2]],
  });
});

test('filling in place', () => {
  const t = zeros([4]);
  assert.equal(t.fill_(3), t);
  assert.deepEqual(numbersOf(t), [3, 3, 3, 3]);
  t.copy_(long(7));
  assert.deepEqual(numbersOf(t), [7, 7, 7, 7]);
  t.clamp_(0, 5).exp_().log_().sqrt_().reciprocal_().abs_().sigmoid_().relu_().silu_();
  t.round_().floor_().ceil_().nanToNum_().clampMin_(0).clampMax_(9);
  t.maskedFill_(tensor([true, false, false, true]), 2);
  assert.equal(t.at(0).item(), 2);
  assert.ok(numbersOf(t.uniform_(2, 3)).every((n) => n >= 2 && n < 3));
  assert.ok(numbersOf(t.bernoulli_(0.5)).every((n) => n === 0 || n === 1));
  assert.ok(numbersOf(t.random_(4, 6)).every((n) => n === 4 || n === 5));
  assert.ok(numbersOf(t.normal_()).every(Number.isFinite));
  assert.deepEqual(numbersOf(t.zero_()), [0, 0, 0, 0]);
});

test('reductions', () => {
  expectAll({
    sum: [m().sum(), [21], []],
    sumDim: [m().sum(0), [5, 7, 9]],
    sumKeep: [m().sum(1, true), [6, 15], [2, 1]],
    sumKeyword: [m().sum(1, { keepdim: true, dtype: 'float64' }), [6, 15], [2, 1]],
    sumDims: [m().sum([0, 1]), [21], []],
    mean: [m().mean(), [3.5], []],
    meanDim: [m().mean([0]), [2.5, 3.5, 4.5]],
    prod: [m().prod(1), [6, 120]],
    amax: [m().amax(1), [3, 6]],
    amaxAll: [m().amax(), [6], []],
    amin: [m().amin([0, 1], true), [1], [1, 1]],
    max: [m().max(), [6], []],
    maxDim: [m().max(1)[0], [3, 6]],
    maxOther: [m().max(m().mul(-1).add(5)), [4, 3, 3, 4, 5, 6], [2, 3]],
    minIndex: [m().min(1, true)[1], [0, 0], [2, 1]],
    argmax: [m().argmax(), [5], []],
    argmin: [m().argmin(1), [0, 0]],
    all: [m().gt(1).all(), [0], []],
    any: [m().gt(3).any(1), [0, 1]],
    norm: [v(3, 4).norm(), [5], []],
    norm1: [v(3, -4).norm(1, 0, true), [7], [1]],
    std: [v(1, 3).std(), [Math.SQRT2], []],
    stdBiased: [v(1, 3).std(0, { correction: 0 }), [1], []],
    var: [m().var(1), [1, 1]],
    median: [v(3, 1, 2).median(), [2], []],
    medianDim: [m().median(1)[1], [1, 1]],
    logsumexp: [v(0, 0).logsumexp(0), [Math.LN2], []],
    cumsum: [v(1, 2, 3).cumsum(0), [1, 3, 6]],
    cumprod: [v(1, 2, 3).cumprod(0), [1, 2, 6]],
    sort: [v(2, 3, 1).sort(0, { descending: true })[0], [3, 2, 1]],
    argsort: [v(2, 3, 1).argsort(), [2, 0, 1]],
    topk: [v(2, 3, 1).topk(2)[1], [1, 0]],
    topkSmallest: [v(2, 3, 1).topk(1, 0, { largest: false })[0], [1]],
    unique: [v(2, 1, 2).unique()[2], [1, 2]],
    bincount: [long(0, 2, 2).bincount(), [1, 0, 2]],
    countNonzero: [v(0, 1, 2).countNonzero(), [2], []],
  });
});

describe('shape', () => {
  test('views and rearrangement', () => {
    const six = [1, 2, 3, 4, 5, 6];
    expectAll({
      view: [m().view(3, 2), six, [3, 2]],
      viewList: [m().view([-1]), six],
      reshape: [m().t().reshape(6), [1, 4, 2, 5, 3, 6]],
      permute: [m().permute(1, 0), [1, 4, 2, 5, 3, 6], [3, 2]],
      transpose: [m().transpose(0, 1), [1, 4, 2, 5, 3, 6], [3, 2]],
      unsqueeze: [v(1, 2).unsqueeze(1), [1, 2], [2, 1]],
      squeeze: [ones([1, 2, 1]).squeeze(), [1, 1]],
      squeezeOne: [ones([1, 2, 1]).squeeze(0), [1, 1], [2, 1]],
      squeezeSome: [ones([1, 2, 1]).squeeze([0, 2]), [1, 1]],
      flatten: [m().flatten(), six],
      flattenFrom: [ones([1, 2, 1]).flatten(1), [1, 1], [1, 2]],
      unflatten: [v(1, 2, 3, 4).unflatten(0, [2, 2]), [1, 2, 3, 4], [2, 2]],
      expand: [v(1).expand(2, 2), [1, 1, 1, 1], [2, 2]],
      expandAs: [v(1).expandAs(v(0, 0)), [1, 1]],
      repeat: [v(1, 2).repeat(2), [1, 2, 1, 2]],
      repeatInterleave: [v(1, 2).repeatInterleave(2), [1, 1, 2, 2]],
      repeatEach: [v(1, 2).repeatInterleave(long(1, 2)), [1, 2, 2]],
      narrow: [m().narrow(1, 1, 2), [2, 3, 5, 6], [2, 2]],
      select: [m().select(1, 0), [1, 4]],
      flip: [m().flip(1), [3, 2, 1, 6, 5, 4], [2, 3]],
      roll: [v(1, 2, 3).roll(1), [3, 1, 2]],
      diagonal: [m().diagonal(), [1, 5]],
      tril: [ones([2, 2]).tril(), [1, 0, 1, 1], [2, 2]],
      triu: [ones([2, 2]).triu(1), [0, 1, 0, 0], [2, 2]],
      asStrided: [arange(6).asStrided([2], [3], 1), [1, 4]],
    });
    assert.throws(() => m().t().view(6), { code: 'TORCH' });
  });

  test('pieces', () => {
    const shapes = (pieces: Tensor[]) => pieces.map((piece) => piece.shape);
    assert.deepEqual(shapes(arange(5).split(2)), [[2], [2], [1]]);
    assert.deepEqual(shapes(arange(5).split([1, 4])), [[1], [4]]);
    assert.deepEqual(shapes(m().chunk(3, 1)), [
      [2, 1],
      [2, 1],
      [2, 1],
    ]);
    assert.deepEqual(m().unbind(1).map(numbersOf), [
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
  });

  test('selection and scattering', () => {
    expectAll({
      indexSelect: [m().indexSelect(1, long(2, 0)), [3, 1, 6, 4], [2, 2]],
      gather: [m().gather(1, tensor([[2], [0]], { dtype: 'int64' })), [3, 4], [2, 1]],
      scatter: [zeros([3]).scatter(0, long(1), 5), [0, 5, 0]],
      scatterTensor: [zeros([3]).scatter_(0, long(2, 0), v(7, 8)), [8, 0, 7]],
      scatterAdd: [zeros([2]).scatterAdd(0, long(1, 1), v(2, 3)), [0, 5]],
      scatterAddInPlace: [zeros([2]).scatterAdd_(0, long(0, 1), v(2, 3)), [2, 3]],
      indexAdd: [zeros([2]).indexAdd_(0, long(1), v(4), { alpha: 2 }), [0, 8]],
      indexCopy: [zeros([2]).indexCopy_(0, long(1), v(4)), [0, 4]],
      where: [v(1, 2).where(tensor([true, false]), 0), [1, 0]],
      maskedFill: [v(1, 2).maskedFill(tensor([true, false]), -1), [-1, 2]],
      maskedSelect: [v(1, 2).maskedSelect(tensor([false, true])), [2]],
      maskedScatter: [v(1, 2).maskedScatter(tensor([false, true]), v(9)), [1, 9]],
      nonzero: [v(0, 3).nonzero(), [1], [1, 1]],
      take: [m().take(long(0, 5)), [1, 6]],
    });
  });
});
