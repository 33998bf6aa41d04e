import { type DType, native } from '@mezzo/libtorch';
import type { FunctionContext } from '../autograd/function.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { mapTensors } from '../tensor/tree.ts';
import { autocast } from './autocast.ts';
import { AmpError } from './errors.ts';
import type { AutocastDevice } from './state.ts';

export interface CustomFwdOptions {
  device: AutocastDevice;
  /** Inside an autocast region: cast floating-point tensors of the device to this dtype and run without autocast. */
  castInputs?: DType;
}

interface ForwardState {
  device: AutocastDevice;
  dtype: DType;
  usedAutocast: boolean;
}

const states = new WeakMap<FunctionContext, ForwardState>();

/**
 * Makes the forward of an `autograd.Function` work under autocast (torch.amp.custom_fwd): it runs in the
 * region as it is, or with `castInputs` on cast inputs (also inside arrays, objects and Maps; float64 stays)
 * with autocast off. Outside a region it runs unchanged. Goes with `customBwd`.
 */
export function customFwd<C extends FunctionContext, A extends unknown[], R>(
  options: CustomFwdOptions,
  forward: (ctx: C, ...inputs: A) => R,
): (ctx: C, ...inputs: A) => R {
  const { device, castInputs } = options;
  if (device !== 'cpu' && device !== 'cuda') {
    throw new AmpError('VALUE', `customFwd: unknown device '${String(device)}'; expected 'cpu' or 'cuda'`);
  }
  return (ctx, ...inputs) => {
    const torch = native();
    const enabled = torch.autocastEnabled(device);
    const usedAutocast = enabled && castInputs === undefined;
    states.set(ctx, { device, dtype: torch.autocastDtype(device), usedAutocast });
    if (castInputs === undefined || !enabled) return forward(ctx, ...inputs);
    const cast = (tensor: Tensor) =>
      tensor.isFloatingPoint() && tensor.dtype !== 'float64' && tensor.device.split(':')[0] === device
        ? tensor.to(castInputs)
        : tensor;
    return autocast({ device, enabled: false }, () => forward(ctx, ...mapTensors(inputs, cast)));
  };
}

/**
 * Makes a backward run with the autocast state that its forward ran with (torch.amp.custom_bwd), whatever the
 * state where backward is called.
 * @throws AmpError RUNTIME when the forward is not wrapped in `customFwd`
 */
export function customBwd<C extends FunctionContext, A extends unknown[], R>(
  backward: (ctx: C, ...gradients: A) => R,
): (ctx: C, ...gradients: A) => R {
  return (ctx, ...gradients) => {
    const state = states.get(ctx);
    if (state === undefined) {
      throw new AmpError('RUNTIME', 'customBwd: the forward of this function is not wrapped in customFwd');
    }
    const { device, dtype, usedAutocast } = state;
    return autocast({ device, dtype, enabled: usedAutocast }, () => backward(ctx, ...gradients));
  };
}
