import { TorchError } from '@mezzo/libtorch';
import { AutogradFunction, type FunctionContext } from '../../autograd/function.ts';
import { isGradEnabled } from '../../autograd/modes.ts';
import { allGather, allReduce } from '../../distributed/collectives.ts';
import type { ProcessGroup } from '../../distributed/group.ts';
import { op } from '../../ops/call.ts';
import { cat, stack } from '../../tensor/compose.ts';
import { emptyLike, full, onesLike, zeros } from '../../tensor/creation.ts';
import type { MemoryFormat } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';

interface SyncBatchNormCall {
  momentum: number;
  eps: number;
  group: ProcessGroup;
}

interface Statistics {
  mean: Tensor;
  /** Without Bessel's correction. */
  variance: Tensor;
  /** Values per channel, float64 scalar. */
  count: Tensor;
}

type Measure = (
  input: Tensor,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum: number,
) => [mean: Tensor, variance: Tensor];
const measure = op<Measure>('aten::batch_norm_update_stats', '');
const normalize = op('aten::batch_norm');
const backwardOp = op<(...args: unknown[]) => [Tensor | null, Tensor, Tensor]>(
  'aten::native_batch_norm_backward',
  '',
);

/**
 * Batch normalisation of input [N, C, …] over all ranks of a group, which also updates the running statistics.
 * @throws TorchError NOT_IMPLEMENTED in a backward pass with `createGraph`
 */
export function syncBatchNorm(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: SyncBatchNormCall & { weight: Tensor | null; bias: Tensor | null },
): Tensor {
  const { weight, bias, ...call } = options;
  return SyncBatchNormFunction.apply(input, weight, bias, runningMean, runningVar, call);
}

interface Context extends FunctionContext {
  call: SyncBatchNormCall;
}

class SyncBatchNormFunction extends AutogradFunction {
  static forward(
    ctx: Context,
    input: Tensor,
    weight: Tensor | null,
    bias: Tensor | null,
    runningMean: Tensor | null,
    runningVar: Tensor | null,
    call: SyncBatchNormCall,
  ): Tensor {
    const { mean, variance, count } = overRanks(measured(input), call.group);
    if (runningMean && runningVar) {
      const unbiased = variance.mul(count.div(count.sub(1)));
      runningMean.lerp_(mean.to(runningMean.dtype), call.momentum);
      runningVar.lerp_(unbiased.to(runningVar.dtype), call.momentum);
    }
    const dtype = statisticsDtype(input);
    const [center, spread] = [mean.to(dtype), variance.to(dtype)];
    ctx.call = call;
    ctx.saveForBackward(input, weight, center, spread, count);
    return normalize(input, weight, bias, center, spread, false, 0, call.eps, true);
  }

  static backward(ctx: Context, gradient: Tensor): (Tensor | null)[] {
    if (isGradEnabled()) {
      throw new TorchError(
        'NOT_IMPLEMENTED',
        'SyncBatchNorm has no second derivative: use BatchNorm, or no createGraph',
      );
    }
    const [input, weight, mean, variance, count] = ctx.savedTensors as [
      Tensor,
      Tensor | null,
      Tensor,
      Tensor,
      Tensor,
    ];
    const { eps, group } = ctx.call;
    // Of a gradient in another layout than the input the kernel sums 16-bit numbers in 16 bits.
    const laidOut = gradient.contiguous({ memoryFormat: formatOf(input) });
    // As in evaluation the statistics are given: what it sums up is this rank's share.
    const [, ofWeight, ofBias] = backwardOp(laidOut, input, weight, mean, variance, null, null, false, eps, [
      false,
      true,
      true,
    ]);
    const [needsInput, needsWeight, needsBias] = ctx.needsInputGrad;
    const own = [needsWeight ? ofWeight : null, needsBias ? ofBias : null, null, null, null];
    if (!needsInput) return [null, ...own];
    const sums = stack([ofBias, ofWeight]).double();
    allReduce(sums, { group });
    const perChannel = (values: Tensor) =>
      values.to(mean.dtype).view([1, -1, ...Array.from({ length: input.ndim - 2 }, () => 1)]);
    const [meanGradient, meanProjection] = sums.div(count).unbind() as [Tensor, Tensor];
    const inverse = variance.add(eps).rsqrt();
    const explained = input.sub(perChannel(mean)).mul_(perChannel(meanProjection.mul(inverse)));
    const scale = weight === null ? inverse : inverse.mul(weight.detach());
    const ofInput = laidOut.sub(explained).sub_(perChannel(meanGradient)).mul_(perChannel(scale));
    return [ofInput.to(input.dtype), ...own];
  }
}

const statisticsDtype = (input: Tensor) => (input.dtype === 'float64' ? 'float64' : 'float32');

const formatOf = (input: Tensor): MemoryFormat =>
  (['channels_last', 'channels_last_3d'] as const).find((format) => input.isContiguous(format)) ??
  'contiguous';

/** Of this rank's values alone. */
function measured(input: Tensor): Statistics {
  const { device } = input;
  const channels = input.size(1);
  const scratch = zeros([channels], { dtype: statisticsDtype(input), device });
  const [mean, variance] = measure(input, scratch, onesLike(scratch), 1);
  return { mean, variance, count: full([], input.numel() / channels, { dtype: 'float64', device }) };
}

/** In float64, in the order of the ranks: the same bits everywhere. */
function overRanks({ mean, variance, count }: Statistics, group: ProcessGroup): Statistics {
  const own = cat([mean.double(), variance.double(), count.view([1])]);
  const gathered = Array.from({ length: group.size }, () => emptyLike(own));
  allGather(gathered, own, { group });
  const rows = stack(gathered);
  const channels = mean.numel();
  const [means, variances, counts] = rows.split([channels, channels, 1], 1) as [Tensor, Tensor, Tensor];
  const all = counts.sum();
  const shared = means.mul(counts).sum(0).div(all);
  const spread = variances.add(means.sub(shared).square()).mul(counts).sum(0).div(all);
  return { mean: shared, variance: spread, count: all };
}
