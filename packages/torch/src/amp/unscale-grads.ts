import { native } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import { isSparse } from '../ops/sparse.ts';
import { full } from '../tensor/creation.ts';
import { adopt } from '../tensor/lifetime.ts';
import { keep, scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import { Replicas } from './replicas.ts';
import { unscale_ } from './unscale.ts';

/** Parameters whose gradients are scaled. */
export interface HasParamGroups {
  readonly paramGroups: readonly { readonly params: readonly Tensor[] }[];
}

const coalesce = op('aten::coalesce');
const sparseValues = op('aten::_values');

/**
 * Multiplies the gradients of all parameters by `inverse()`, one kernel call per device and dtype, and returns
 * for each device that has gradients a flag that is 1 if one of them was not finite. The flags are the
 * caller's to dispose.
 * @throws AmpError VALUE for fp16 gradients, unless `allowFp16`; nothing is unscaled then
 */
export function unscaleGrads(
  { paramGroups }: HasParamGroups,
  inverse: () => Tensor,
  allowFp16: boolean,
): Map<string, Tensor> {
  const flags = new Map<string, Tensor>();
  noGrad(() => {
    scope(() => {
      const replicas = new Replicas(inverse());
      const params = paramGroups.flatMap((group) => group.params);
      for (const [device, perDtype] of collect(params, allowFp16)) {
        const flag = keep(full([], 0, { dtype: 'float32', device }));
        flags.set(device, flag);
        for (const grads of perDtype.values()) unscale_(grads, flag, replicas.on(device));
      }
    });
  });
  return flags;
}

/** Gradients by device and dtype. */
function collect(params: readonly Tensor[], allowFp16: boolean): Map<string, Map<string, Tensor[]>> {
  const grads = native().gradsOf(Float64Array.from(params, ({ handle }) => handle));
  const found = new Map<string, Map<string, Tensor[]>>();
  params.forEach((param, i) => {
    if (grads[i] === 0) return;
    const grad = adopt(grads[i]!);
    const { device, dtype } = grad;
    if (dtype === 'float16' && !allowFp16) {
      throw new AmpError('VALUE', 'Attempting to unscale FP16 gradients.', {
        hint:
          'keep the parameters in float32 and let autocast cast them; or convert the model to bfloat16, ' +
          'which needs no scaler',
      });
    }
    let perDtype = found.get(device);
    if (perDtype === undefined) {
      perDtype = new Map();
      found.set(device, perDtype);
    }
    const list = perDtype.get(dtype);
    const values = valuesOf(param, grad, dtype);
    if (list === undefined) perDtype.set(dtype, [values]);
    else list.push(values);
  });
  return found;
}

/** The numbers of a gradient: of a sparse one its values, in fp16 summed first, since sums can overflow. */
function valuesOf(param: Tensor, grad: Tensor, dtype: string): Tensor {
  if (!isSparse(grad)) return grad;
  if (dtype !== 'float16') return sparseValues(grad);
  const summed = coalesce(grad);
  param.grad = summed;
  return sparseValues(summed);
}
