import { TorchError } from '@mezzo/libtorch';
import { AutogradFunction, type FunctionContext } from '../autograd/function.ts';
import { isGradEnabled } from '../autograd/modes.ts';
import { keep } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { mapTensors, tensorsIn } from '../tensor/tree.ts';

type Gradients = (Tensor | null)[];

/** Sees a module's gradients, of its input and output tensors in order; may return others for the inputs. */
export type RunBackwardHooks = (gradInput: Gradients, gradOutput: Gradients) => Gradients | undefined;

/** Sees the gradients of the output tensors before the module's backward; may return others. */
export type RunBackwardPreHooks = (gradOutput: Gradients) => Gradients;

/** Lets tensors pass, and their gradients by way of a function. */
class BackwardHook extends AutogradFunction {
  static forward(
    ctx: FunctionContext,
    _: (gradients: Gradients) => Gradients,
    ...tensors: Tensor[]
  ): Tensor[] {
    ctx.setMaterializeGrads(false);
    passages.set(ctx, _);
    return tensors;
  }

  static backward(ctx: FunctionContext, ...gradients: Gradients): Gradients {
    return [null, ...passages.get(ctx)!(gradients)];
  }
}

const passages = new WeakMap<FunctionContext, (gradients: Gradients) => Gradients>();

/**
 * One forward with backward hooks on its module (torch.utils.hooks.BackwardHook): two nodes, around the
 * module's own, see the gradients come in and go out.
 */
export class HookedPass {
  readonly #run: RunBackwardHooks;
  readonly #runBefore: RunBackwardPreHooks;
  #gradOutput: Gradients = [];
  #inputs = 0;
  #inputsHooked = false;

  constructor(run: RunBackwardHooks, runBefore: RunBackwardPreHooks) {
    this.#run = run;
    this.#runBefore = runBefore;
  }

  inputs(inputs: unknown[]): unknown[] {
    this.#inputs = tensorsIn(inputs).length;
    this.#inputsHooked = isGradEnabled() && tensorsIn(inputs).some(({ requiresGrad }) => requiresGrad);
    return this.#inputsHooked ? through(inputs, (gradInput) => this.#replaced(gradInput)) : inputs;
  }

  output(output: unknown): unknown {
    if (!tensorsIn(output).some(({ requiresGrad }) => requiresGrad)) return output;
    return through(output, (given) => {
      const gradOutput = this.#runBefore(given);
      this.#gradOutput = gradOutput.map((gradient) => (gradient === null ? null : keep(gradient)));
      if (!this.#inputsHooked) this.#withoutInputs();
      return gradOutput;
    });
  }

  #replaced(gradInput: Gradients): Gradients {
    const result = this.#run(gradInput, this.#gradOutput);
    if (result !== undefined && result.length !== gradInput.length) {
      throw new TorchError(
        'TORCH',
        `Backward hook returned an invalid number of grad_input, got ${result.length}, ` +
          `but expected ${gradInput.length}`,
      );
    }
    return result ?? gradInput;
  }

  #withoutInputs(): void {
    const none: Gradients = new Array(this.#inputs).fill(null);
    if (this.#run(none, this.#gradOutput)?.some((gradient) => gradient !== null)) {
      throw new TorchError(
        'TORCH',
        'Backward hook for Modules where no input requires gradient should always return None or None for all ' +
          'gradients.',
      );
    }
  }
}

function through<T>(value: T, see: (gradients: Gradients) => Gradients): T {
  const tensors = tensorsIn(value);
  const passed = BackwardHook.apply(see, ...tensors);
  let next = 0;
  return mapTensors(value, () => passed[next++]!);
}
