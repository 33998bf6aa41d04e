import { native, TorchError } from '@mezzo/libtorch';
import { describe } from '../ops/schema.ts';
import { adopt, adoptAll } from '../tensor/lifetime.ts';
import { Tensor } from '../tensor/tensor.ts';
import { type Frame, handlesOf, nodeCallback } from './callback.ts';
import { noGrad } from './modes.ts';
import { refuseAsync, refusePromise } from './synchronous.ts';

type Tensors = readonly (Tensor | null)[];

interface ContextState {
  saved: Tensors;
  notDifferentiable: readonly Tensor[];
  dirty: readonly Tensor[];
  materialize: boolean;
  frame: Frame;
}

const OUTSIDE: Frame = -1;

let stateOf: (ctx: FunctionContext) => ContextState;

/**
 * What the forward of a custom function leaves for its backward. Declare properties of your own in an
 * interface that extends this one; a tensor among them is not watched, `saveForBackward` is for tensors.
 */
export class FunctionContext {
  /** For every input of forward, whether it is a tensor that requires grad. */
  readonly needsInputGrad: readonly boolean[];
  readonly #state: ContextState = {
    saved: [],
    notDifferentiable: [],
    dirty: [],
    materialize: true,
    frame: OUTSIDE,
  };

  static {
    stateOf = (ctx) => ctx.#state;
  }

  constructor(needsInputGrad: readonly boolean[]) {
    this.needsInputGrad = needsInputGrad;
  }

  /** Keeps inputs, outputs or intermediate results for backward; a change in place until then is an error. */
  saveForBackward(...tensors: (Tensor | null)[]): void {
    for (const [i, tensor] of tensors.entries()) {
      if (tensor === null || tensor instanceof Tensor) continue;
      throw new TorchError(
        'TYPE',
        `saveForBackward can only save tensors, but argument ${i} is of type ${describe(tensor)}`,
      );
    }
    this.#state.saved = tensors;
  }

  /**
   * What was saved, while backward runs.
   * @throws TorchError TORCH when one was changed in place, or when backward runs a second time
   */
  get savedTensors(): (Tensor | null)[] {
    return adoptAll(native().frameSaved(this.#state.frame));
  }

  /** Outputs through which no gradient flows; call it in forward. */
  markNonDifferentiable(...outputs: Tensor[]): void {
    this.#state.notDifferentiable = outputs;
  }

  /** Inputs that forward changes in place and returns. */
  markDirty(...inputs: Tensor[]): void {
    this.#state.dirty = inputs;
  }

  /** false gives backward null, not zeros, for outputs that had no part in the result. */
  setMaterializeGrads(on: boolean): void {
    this.#state.materialize = on;
  }
}

/** A subclass of `autograd.Function`, as `apply` sees it. */
export interface FunctionClass<A extends unknown[], R> {
  readonly name: string;
  forward(ctx: never, ...inputs: A): R;
  backward(ctx: never, ...gradients: never[]): Tensor | null | undefined | Tensors;
}

/**
 * Base of operations with a backward of their own (torch.autograd.Function). A subclass has two static
 * methods, and is run by `apply`, which takes the inputs of forward:
 *
 * - `forward(ctx, ...inputs)` computes a tensor or an array of tensors, without recording;
 * - `backward(ctx, ...gradients)` takes a gradient per output and returns one per input, null for inputs that
 *   are no tensor or need none. Made of differentiable operations, it can be differentiated again.
 *
 * Gradients reach the tensors among the inputs, not those inside arrays or objects. Backward runs in a scope
 * of its own: a tensor that is to outlive it must pass through `keep`.
 */
// biome-ignore lint/complexity/noStaticOnlyClass: subclassed as PyTorch's is
export abstract class AutogradFunction {
  /**
   * @throws TorchError ASYNC_REGION when forward or backward is async, TYPE when forward returns something
   *   else than tensors; and, in backward, TORCH for gradients that do not fit the inputs
   */
  static apply<A extends unknown[], R>(this: FunctionClass<A, R>, ...inputs: A): R {
    // biome-ignore lint/complexity/noThisInStatic: the subclass that `apply` is called on
    return run(this, inputs);
  }
}

function run<A extends unknown[], R>(definition: FunctionClass<A, R>, inputs: A): R {
  const { name } = definition;
  refuseAsync(`${name}.forward`, definition.forward);
  refuseAsync(`${name}.backward`, definition.backward);
  const ctx = new FunctionContext(inputs.map((input) => isTensor(input) && input.requiresGrad));
  const state = stateOf(ctx);
  const result = noGrad(() => {
    const made = definition.forward(ctx as never, ...inputs);
    refusePromise(`${name}.forward`, made);
    return made;
  });
  const outputs = outputsOf(name, result);
  const isTensorInput = inputs.map(isTensor);
  const fresh = native().applyFunction(
    `${name}Backward`,
    backwardOf(definition, ctx, isTensorInput),
    handlesOf(inputs.filter(isTensor)),
    handlesOf(outputs),
    handlesOf(state.notDifferentiable),
    handlesOf(state.dirty),
    handlesOf(state.saved),
    state.materialize,
  );
  // From here on the node keeps what is saved; were it kept here too, node and tensors would hold each other.
  state.saved = state.notDifferentiable = state.dirty = [];
  const wrapped = outputs.map((output, i) => (fresh[i] === 0 ? output : adopt(fresh[i]!)));
  return (Array.isArray(result) ? wrapped : wrapped[0]) as R;
}

/** What the node calls. Made apart from `run`: a closure there would keep alive all that its neighbours mention. */
function backwardOf<A extends unknown[], R>(
  definition: FunctionClass<A, R>,
  ctx: FunctionContext,
  isTensorInput: readonly boolean[],
): (frame: Frame) => void {
  const { name } = definition;
  const state = stateOf(ctx);
  return nodeCallback(`${name}.backward`, (frame) => {
    const outer = state.frame;
    state.frame = frame;
    try {
      const gradients = adoptAll(native().frameGradients(frame)) as never[];
      const returned = definition.backward(ctx as never, ...gradients);
      refusePromise(`${name}.backward`, returned);
      return gradientsOf(`${name}Backward`, isTensorInput, returned);
    } finally {
      state.frame = outer;
    }
  });
}

const isTensor = (value: unknown): value is Tensor => value instanceof Tensor;

function outputsOf(name: string, result: unknown): Tensor[] {
  const outputs: unknown[] = Array.isArray(result) ? result : [result];
  for (const [i, output] of outputs.entries()) {
    if (isTensor(output)) continue;
    throw new TorchError(
      'TYPE',
      `${name}.forward: expected Tensor or array of Tensor (got ${describe(output)}) for return value ${i}`,
    );
  }
  return outputs as Tensor[];
}

/** The gradients of the inputs that are tensors, checked with PyTorch's words. */
function gradientsOf(node: string, isTensorInput: readonly boolean[], returned: unknown): (Tensor | null)[] {
  const given: unknown[] = Array.isArray(returned) ? returned : [returned];
  const list = given.map((gradient) => gradient ?? null);
  const expected = isTensorInput.length;
  if (list.length < expected || list.slice(expected).some((gradient) => gradient !== null)) {
    throw new TorchError(
      'TORCH',
      `function ${node} returned an incorrect number of gradients (expected ${expected}, got ${list.length})`,
    );
  }
  const gradients: (Tensor | null)[] = [];
  for (const [i, takesGradient] of isTensorInput.entries()) {
    const gradient = list[i]!;
    if (gradient !== null && !isTensor(gradient)) {
      throw new TorchError('TYPE', `function ${node}: expected Tensor or null (got ${describe(gradient)})`);
    }
    if (takesGradient) gradients.push(gradient);
    else if (gradient !== null) {
      throw new TorchError(
        'TORCH',
        `function ${node} returned a gradient different from null at position ${i + 1}, but the corresponding ` +
          'forward input was not a Tensor',
      );
    }
  }
  return gradients;
}
