import { TorchError } from '@mezzo/libtorch';
import { describe } from '../ops/schema.ts';
import { insert, type RemovableHandle } from '../removable-handle.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { HookedPass } from './backward-hook.ts';
import type { Module } from './module.ts';

export type Forward = (...inputs: unknown[]) => unknown;

/** Runs in place of a forward; `proceed` is the forward it stands before. */
export type ForwardWrapper = (proceed: Forward, inputs: unknown[]) => unknown;

/** Runs before forward; an array that it returns takes the place of the inputs. */
export type ForwardPreHook = (module: Module, inputs: unknown[]) => unknown[] | undefined;

/** Runs after forward; what it returns, unless null or undefined, takes the place of the output. */
export type ForwardHook = (module: Module, inputs: unknown[], output: unknown) => unknown;

/**
 * Runs in backward with the gradients of the tensors among the inputs and the outputs, in order; an array that
 * it returns takes the place of the inputs' gradients.
 */
export type FullBackwardHook = (
  module: Module,
  gradInput: (Tensor | null)[],
  gradOutput: (Tensor | null)[],
) => (Tensor | null)[] | undefined;

/**
 * Runs in backward before the module's own, with the gradients of the tensors among the outputs, in order; an
 * array that it returns takes their place.
 */
export type FullBackwardPreHook = (
  module: Module,
  gradOutput: (Tensor | null)[],
) => (Tensor | null)[] | undefined;

/**
 * The hooks of one module. While there is one, an own property `forward` of the instance shadows the class's
 * method, because models call `child.forward(x)` directly; with the last one it goes, so a module without
 * hooks costs nothing.
 */
export class ForwardHooks {
  readonly #module: Module;
  readonly #wrappers: { readonly run: ForwardWrapper }[] = [];
  readonly #before: { readonly run: ForwardPreHook }[] = [];
  readonly #after: { readonly run: ForwardHook }[] = [];
  readonly #backward: { readonly run: FullBackwardHook }[] = [];
  readonly #beforeBackward: { readonly run: FullBackwardPreHook }[] = [];
  /** The instance's own `forward` before the shadow: an arrow function property, or nothing. */
  #shadowed: PropertyDescriptor | undefined;

  constructor(module: Module) {
    this.#module = module;
  }

  around(run: ForwardWrapper): RemovableHandle {
    return this.#add(this.#wrappers, { run });
  }

  before(run: ForwardPreHook): RemovableHandle {
    return this.#add(this.#before, { run });
  }

  after(run: ForwardHook): RemovableHandle {
    return this.#add(this.#after, { run });
  }

  inBackward(run: FullBackwardHook): RemovableHandle {
    return this.#add(this.#backward, { run });
  }

  beforeBackward(run: FullBackwardPreHook): RemovableHandle {
    return this.#add(this.#beforeBackward, { run });
  }

  get #count(): number {
    const lists = [this.#wrappers, this.#before, this.#after, this.#backward, this.#beforeBackward];
    return lists.reduce((n, list) => n + list.length, 0);
  }

  #add<T extends object>(list: T[], hook: T): RemovableHandle {
    if (this.#count === 0) this.#shadow();
    return insert(list, hook, () => {
      if (this.#count === 0) this.#restore();
    });
  }

  #shadow(): void {
    const module = this.#module;
    this.#shadowed = Object.getOwnPropertyDescriptor(module, 'forward');
    const forward = (module.forward as Forward).bind(module);
    Object.defineProperty(module, 'forward', {
      configurable: true,
      enumerable: false,
      writable: true,
      value: (...inputs: unknown[]) => this.#run(forward, inputs),
    });
  }

  #restore(): void {
    if (this.#shadowed !== undefined) Object.defineProperty(this.#module, 'forward', this.#shadowed);
    else Reflect.deleteProperty(this.#module, 'forward');
  }

  #run(forward: Forward, inputs: unknown[]): unknown {
    const wrapped = this.#wrappers.reduce<Forward>(
      (proceed, { run }) =>
        (...given) =>
          run(proceed, given),
      (...given) => this.#call(forward, given),
    );
    return wrapped(...inputs);
  }

  #hookedPass(): HookedPass | undefined {
    const [hooks, preHooks] = [[...this.#backward], [...this.#beforeBackward]];
    if (hooks.length + preHooks.length === 0) return undefined;
    return new HookedPass(
      (gradInput, gradOutput) =>
        hooks.reduce<(Tensor | null)[] | undefined>(
          (result, { run }) => run(this.#module, result ?? gradInput, gradOutput) ?? result,
          undefined,
        ),
      (gradOutput) =>
        preHooks.reduce(
          (result, { run }) => replacedGradients(run(this.#module, result), result),
          gradOutput,
        ),
    );
  }

  #call(forward: Forward, given: unknown[]): unknown {
    let inputs = given;
    for (const { run } of [...this.#before]) inputs = replaced(run(this.#module, inputs), inputs);
    const pass = this.#hookedPass();
    if (pass !== undefined) inputs = pass.inputs(inputs);
    let output = forward(...inputs);
    for (const { run } of [...this.#after]) output = run(this.#module, inputs, output) ?? output;
    return pass === undefined ? output : pass.output(output);
  }
}

function replacedGradients(
  result: (Tensor | null)[] | undefined,
  given: (Tensor | null)[],
): (Tensor | null)[] {
  if (result !== undefined && result.length !== given.length) {
    throw new TorchError(
      'TORCH',
      `Backward pre hook returned an invalid number of grad_output, got ${result.length}, ` +
        `but expected ${given.length}`,
    );
  }
  return result ?? given;
}

function replaced(result: unknown, inputs: unknown[]): unknown[] {
  if (result === undefined) return inputs;
  if (Array.isArray(result)) return result;
  throw new TorchError(
    'BAD_ARGUMENT',
    `registerForwardPreHook: the hook returned ${describe(result)}; return an array with all inputs, or nothing`,
  );
}
