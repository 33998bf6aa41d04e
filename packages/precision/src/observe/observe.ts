import { native, TorchError } from '@mezzo/libtorch';
import type { nn } from '@mezzo/torch';
import { type PlanLookup, type Trace, traceOf } from './trace.ts';

export interface ObserveOptions {
  /** Read every operator's inputs and outputs, to find where the first inf or NaN comes from. Slow. */
  finiteness?: boolean;
  /** On CUDA wait for the GPU around every operator, so that times are those of kernels. */
  synchronize?: boolean;
  /** The plan in force, so that its rules are named. */
  plan?: PlanLookup;
}

/** Layer names of the observation that is under way, by their native number. */
let observed: string[] | undefined;

/**
 * Runs `fn` and returns its result with what every operator did in it: autocast's casts, operators inside
 * operators and backward nodes included. Operators are attributed to the innermost module of `model` whose
 * forward is running; those of the backward to the layer of their forward operator. LibTorch is observed
 * natively; without an observation nothing is.
 * @throws TorchError BAD_ARGUMENT inside another observation of this thread, TORCH when a call could not be observed
 */
export function observe<T>(
  model: nn.Module,
  options: ObserveOptions,
  fn: () => T,
): { result: T; trace: Trace } {
  const torch = native();
  torch.observerBegin(options.finiteness ?? false, options.synchronize ?? false);
  const layers: string[] = [];
  const hooks: { remove(): void }[] = [];
  observed = layers;
  const start = process.hrtime.bigint();
  try {
    const numbers = new Map<string, number>();
    for (const [name, module] of model.namedModules()) {
      const layer = layers.push(name) - 1;
      numbers.set(name, layer);
      hooks.push(module.aroundForward((proceed, inputs) => inLayer(layer, () => proceed(...inputs))));
    }
    for (const [name, parameter] of model.namedParameters()) {
      const layer = numbers.get(name.slice(0, Math.max(0, name.lastIndexOf('.'))))!;
      torch.observerOwn(layer, Float64Array.of(parameter.handle));
    }
    const result = fn();
    const seconds = Number(process.hrtime.bigint() - start) * 1e-9;
    const ended = endOnce();
    if (ended.failure !== null) {
      throw new TorchError('TORCH', `the observation is incomplete, from ${ended.failure}`);
    }
    return { result, trace: traceOf(ended, layers, options.plan, seconds) };
  } finally {
    for (const hook of hooks) hook.remove();
    if (observed !== undefined) endOnce();
  }
}

/**
 * Runs `fn` as a layer of that name, where it is observed: for a loss, which is no module. Otherwise it is
 * just called.
 */
export function atLayer<T>(name: string, fn: () => T): T {
  if (observed === undefined) return fn();
  const known = observed.indexOf(name);
  return inLayer(known >= 0 ? known : observed.push(name) - 1, fn);
}

function inLayer<T>(layer: number, fn: () => T): T {
  const torch = native();
  torch.observerEnter(layer);
  try {
    return fn();
  } finally {
    torch.observerLeave();
  }
}

function endOnce() {
  observed = undefined;
  return native().observerEnd();
}
