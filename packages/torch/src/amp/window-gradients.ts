import { native } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import type { Module } from '../nn/module.ts';
import { op } from '../ops/call.ts';
import { isSparse } from '../ops/sparse.ts';
import { full, zeros } from '../tensor/creation.ts';
import { adopt } from '../tensor/lifetime.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AmpError } from './errors.ts';
import { magnitudes, unscaleMagnitudes_ } from './magnitude.ts';
import { Replicas } from './replicas.ts';
import type { HasParamGroups } from './unscale-grads.ts';

const coalesce = op('aten::coalesce');

/** The gradients of one device. */
interface OnDevice {
  readonly params: Tensor[];
  readonly grads: Tensor[];
}

/** The gradients that several optimizers' parameters have at the end of a window, by device. */
export class WindowGradients {
  /** Parameters with a gradient, in the order of `magnitudes`: the model's on each device. */
  readonly parameters: Tensor[] = [];
  private readonly devices = new Map<string, OnDevice>();

  /** @throws AmpError ASSERTION when there is no gradient at all, VALUE for fp16 ones when `scaled` */
  constructor(optimizers: readonly HasParamGroups[], scaled: boolean, names: ParameterNames) {
    const all = names.inOrder(
      optimizers.flatMap(({ paramGroups }) => paramGroups.flatMap(({ params }) => params)),
    );
    const handles = native().gradsOf(Float64Array.from(all, ({ handle }) => handle));
    all.forEach((param, i) => {
      if (handles[i] === 0) return;
      const grad = summed(param, adopt(handles[i]!));
      if (scaled) refuseHalf(grad);
      let here = this.devices.get(grad.device);
      if (here === undefined) {
        here = { params: [], grads: [] };
        this.devices.set(grad.device, here);
      }
      here.params.push(param);
      here.grads.push(grad);
    });
    if (this.devices.size === 0) {
      throw new AmpError('ASSERTION', 'TrainingStep: no parameter of the optimizers has a gradient', {
        hint: 'the loss must depend on parameters that were given to the optimizers and require gradients',
      });
    }
    for (const { params } of this.devices.values()) this.parameters.push(...params);
  }

  /** Multiplies all by `inverse`; their largest magnitudes afterwards as float32 bits, one tensor a device. */
  unscale_(inverse: Tensor | null): Tensor[] {
    return noGrad(() => {
      const replicas = new Replicas(inverse ?? full([], 1));
      return Array.from(this.devices, ([device, { grads }]) => {
        const found = zeros([grads.length], { dtype: 'int32', device });
        unscaleMagnitudes_(grads, replicas.on(device), found);
        return found;
      });
    });
  }

  /** Their largest magnitudes now, read anew: somebody may have put another gradient in a parameter's place. */
  measure(): Tensor[] {
    return noGrad(() =>
      Array.from(this.devices, ([device, { params }]) =>
        magnitudes(params.map(({ grad }) => grad ?? zeros([0], { device }))),
      ),
    );
  }
}

/** An fp16 gradient with repeated indices is summed first, since the sums can overflow. */
function summed(param: Tensor, grad: Tensor): Tensor {
  if (!isSparse(grad) || grad.dtype !== 'float16') return grad;
  const whole = coalesce(grad);
  param.grad = whole;
  return whole;
}

function refuseHalf(grad: Tensor): void {
  if (grad.dtype !== 'float16' || isSparse(grad)) return;
  throw new AmpError('VALUE', 'Attempting to unscale FP16 gradients.', {
    hint:
      'keep the parameters in float32 (master weights) and let autocast cast them: model.float(); ' +
      'with parameters in half precision use bfloat16 and no scaler',
  });
}

/** Names of a model's parameters; those that only an optimizer knows are named by their place there. */
export class ParameterNames {
  private names = new Map<Tensor, string>();
  private places = new Map<Tensor, number>();
  private readonly model: Module;
  private readonly optimizers: readonly HasParamGroups[];

  constructor(model: Module, optimizers: readonly HasParamGroups[]) {
    this.model = model;
    this.optimizers = optimizers;
  }

  of(parameters: readonly Tensor[]): string[] {
    this.know(parameters);
    return parameters.map((parameter) => this.names.get(parameter)!);
  }

  /** As the model has them, so that a norm over all is that of `model.parameters()` to the last bit. */
  inOrder(parameters: readonly Tensor[]): Tensor[] {
    this.know(parameters);
    return [...parameters].sort((a, b) => this.places.get(a)! - this.places.get(b)!);
  }

  private know(parameters: readonly Tensor[]): void {
    if (parameters.some((parameter) => !this.names.has(parameter))) this.collect();
  }

  private collect(): void {
    this.names = new Map();
    for (const [name, parameter] of this.model.namedParameters()) this.names.set(parameter, name);
    this.optimizers.forEach(({ paramGroups }, i) => {
      paramGroups.forEach(({ params }, j) => {
        params.forEach((param, k) => {
          if (!this.names.has(param)) this.names.set(param, `optimizers.${i}.paramGroups.${j}.params.${k}`);
        });
      });
    });
    this.places = new Map(Array.from(this.names.keys(), (parameter, i) => [parameter, i]));
  }
}
