import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { op } from '../ops/call.ts';
import type { RemovableHandle } from '../removable-handle.ts';
import { type DType, isDType, type MemoryFormat } from '../tensor/dtype.ts';
import { keepAlive } from '../tensor/lifetime.ts';
import { scope } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type Forward,
  type ForwardHook,
  type ForwardHookOptions,
  ForwardHooks,
  type ForwardPreHook,
  type ForwardWrapper,
  type FullBackwardHook,
  type FullBackwardPreHook,
} from './hooks.ts';
import { Parameter } from './parameter.ts';
import { checkStateDict, type LoadReport, type StateDict } from './state.ts';

export interface ModuleTarget {
  dtype?: DType;
  device?: string;
  /** Applies to weights of four dimensions (channels_last) or five (channels_last_3d). */
  memoryFormat?: MemoryFormat;
  nonBlocking?: boolean;
}

interface BufferEntry {
  tensor: Tensor | null;
  readonly persistent: boolean;
}

let bufferAssignments = 0;

/** @internal Changes whenever some module gets another tensor as a buffer. */
export const bufferVersion = (): number => bufferAssignments;

const setData = op<(self: Tensor, data: Tensor) => void>('aten::set_data');

const FORMAT_DIMENSIONS: Partial<Record<MemoryFormat, number>> = { channels_last: 4, channels_last_3d: 5 };

/**
 * Base of all layers and models (torch.nn.Module). A subclass registers by assignment: its own properties
 * that are a `Parameter` or a `Module` belong to it, in the order of their declaration; other state is
 * registered with `registerBuffer`.
 */
export abstract class Module {
  /** Property name → name in the state dict, where the two differ. */
  static readonly stateNames: Readonly<Record<string, string>> = {};
  /** Names in the state dict that a file may lack (older files do not have them). */
  static readonly optionalState: readonly string[] = [];

  training = true;
  readonly #buffers = new Map<string, BufferEntry>();
  #hooks: ForwardHooks | undefined;

  abstract forward(...inputs: never[]): unknown;

  /** State that is saved and moved with the module but not trained; null reserves the name. */
  registerBuffer(name: string, tensor: Tensor | null, options: { persistent?: boolean } = {}): void {
    const entry: BufferEntry = { tensor: null, persistent: options.persistent ?? true };
    this.#buffers.set(name, entry);
    Object.defineProperty(this, name, {
      configurable: true,
      enumerable: true,
      get: () => entry.tensor,
      set: (value: Tensor | null) => {
        if (value !== null) keepAlive(value);
        entry.tensor = value;
        bufferAssignments += 1;
      },
    });
    Object.assign(this, { [name]: tensor });
  }

  // --- what belongs to this module ---------------------------------------------------------------------

  protected *ownParameters(): Generator<[name: string, parameter: Parameter]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Parameter) yield [this.stateName(name), value];
    }
  }

  protected *ownBuffers(): Generator<[name: string, entry: { tensor: Tensor; persistent: boolean }]> {
    for (const [name, { tensor, persistent }] of this.#buffers) {
      if (tensor !== null) yield [this.stateName(name), { tensor, persistent }];
    }
  }

  protected *ownChildren(): Generator<[name: string, module: Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [this.stateName(name), value];
    }
  }

  private stateName(property: string): string {
    return (this.constructor as typeof Module).stateNames[property] ?? property;
  }

  // --- the tree ----------------------------------------------------------------------------------------

  /** This module and all below it, each once, parents first. */
  *namedModules(prefix = '', seen = new Set<Module>()): Generator<[name: string, module: Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.ownChildren()) {
      yield* child.namedModules(join(prefix, name), seen);
    }
  }

  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  *namedChildren(): Generator<[name: string, module: Module]> {
    const seen = new Set<Module>();
    for (const [name, child] of this.ownChildren()) {
      if (seen.has(child)) continue;
      seen.add(child);
      yield [name, child];
    }
  }

  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** Every parameter once, in PyTorch's order. */
  *namedParameters(): Generator<[name: string, parameter: Parameter]> {
    const seen = new Set<Parameter>();
    for (const [prefix, module] of this.namedModules()) {
      for (const [name, parameter] of module.ownParameters()) {
        if (seen.has(parameter)) continue;
        seen.add(parameter);
        yield [join(prefix, name), parameter];
      }
    }
  }

  parameters(): Parameter[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter);
  }

  *namedBuffers(): Generator<[name: string, buffer: Tensor]> {
    const seen = new Set<Tensor>();
    for (const [prefix, module] of this.namedModules()) {
      for (const [name, { tensor }] of module.ownBuffers()) {
        if (seen.has(tensor)) continue;
        seen.add(tensor);
        yield [join(prefix, name), tensor];
      }
    }
  }

  buffers(): Tensor[] {
    return Array.from(this.namedBuffers(), ([, buffer]) => buffer);
  }

  /** Calls `fn` on every module below this one, then on this one. */
  apply(fn: (module: Module) => void): this {
    for (const child of this.children()) child.apply(fn);
    fn(this);
    return this;
  }

  /**
   * Puts what `replace` gives in the place of every module below this one, the deepest first. It is asked once for
   * a module that is there twice.
   * @throws TorchError VALUE for a child that this module holds in another way than as a property
   * @internal
   */
  replaceModules(replace: (module: Module) => Module, made = new Map<Module, Module>()): void {
    for (const [name, child] of [...this.ownChildren()]) {
      let replacement = made.get(child);
      if (replacement === undefined) {
        child.replaceModules(replace, made);
        replacement = replace(child);
        made.set(child, replacement);
      }
      if (replacement !== child) this.setChild(name, replacement);
    }
  }

  protected setChild(name: string, module: Module): void {
    const property = Object.keys(this).find((key) => this.stateName(key) === name);
    if (property === undefined) {
      throw new TorchError('VALUE', `${this.constructor.name}: its module '${name}' cannot be replaced`);
    }
    Object.assign(this, { [property]: module });
  }

  // --- state -------------------------------------------------------------------------------------------

  /** Parameters and persistent buffers by name, sharing their memory; PyTorch's names and order. */
  stateDict(): StateDict {
    return Object.fromEntries(Array.from(this.state(''), ([name, tensor]) => [name, tensor.detach()]));
  }

  /**
   * Copies values into the parameters and buffers of the same names, or changes nothing.
   * @throws TorchError STATE_DICT when shapes differ, or, with `strict`, when keys are missing or left over
   */
  loadStateDict(stateDict: Readonly<StateDict>, options: { strict?: boolean } = {}): LoadReport {
    const own = new Map(this.state(''));
    const report = checkStateDict(
      this.constructor.name,
      own,
      this.optionalStateNames(),
      stateDict,
      options.strict ?? true,
    );
    noGrad(() => {
      for (const [name, tensor] of own) {
        const source = stateDict[name];
        if (source !== undefined) tensor.copy_(source);
      }
    });
    return report;
  }

  private *state(prefix: string): Generator<[name: string, tensor: Tensor]> {
    for (const [name, parameter] of this.ownParameters()) yield [join(prefix, name), parameter];
    for (const [name, { tensor, persistent }] of this.ownBuffers()) {
      if (persistent) yield [join(prefix, name), tensor];
    }
    for (const [name, child] of this.ownChildren()) yield* child.state(join(prefix, name));
  }

  private optionalStateNames(): Set<string> {
    const names = new Set<string>();
    for (const [prefix, module] of this.namedModules()) {
      for (const name of (module.constructor as typeof Module).optionalState) names.add(join(prefix, name));
    }
    return names;
  }

  // --- hooks -------------------------------------------------------------------------------------------

  /**
   * Wraps forward of this instance: `wrapper` runs in its place and calls `proceed` with the inputs. The last
   * one registered is outermost; all of them enclose the forward hooks. Copies of a module have no hooks.
   */
  aroundForward(wrapper: ForwardWrapper): RemovableHandle {
    return this.hooks.around(wrapper);
  }

  /** Runs `hook` before forward, in the order of registration; it may return an array of other inputs. */
  registerForwardPreHook(hook: ForwardPreHook): RemovableHandle {
    return this.hooks.before(hook);
  }

  /** Runs `hook` after forward, in the order of registration; it may return another output. */
  registerForwardHook(hook: ForwardHook, options?: ForwardHookOptions): RemovableHandle {
    return this.hooks.after(hook, options);
  }

  /** What `kernel` returns in place of forward, through the hooks; undefined where one wants this layer by itself. */
  protected forwardFused<T>(kernel: (...inputs: Tensor[]) => T, ...inputs: Tensor[]): T | undefined {
    if (!Object.hasOwn(this, 'forward')) return kernel(...inputs);
    return this.#hooks?.allowFused ? (this.#hooks.runFused(kernel as Forward, inputs) as T) : undefined;
  }

  /**
   * Runs `hook` in backward when the gradients of this module's inputs are known; it may return an array of
   * others. Inputs and outputs pass through views then, which refuse changes in place, as in PyTorch.
   */
  registerFullBackwardHook(hook: FullBackwardHook): RemovableHandle {
    return this.hooks.inBackward(hook);
  }

  /** Runs `hook` in backward when the gradients of the outputs are known; it may return an array of others. */
  registerFullBackwardPreHook(hook: FullBackwardPreHook): RemovableHandle {
    return this.hooks.beforeBackward(hook);
  }

  private get hooks(): ForwardHooks {
    this.#hooks ??= new ForwardHooks(this);
    return this.#hooks;
  }

  // --- mode and place ----------------------------------------------------------------------------------

  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  requiresGrad_(on = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = on;
    return this;
  }

  /** Drops the gradients, or with `setToNone: false` fills them with zeros. */
  zeroGrad(options: { setToNone?: boolean } = {}): void {
    scope(() => {
      for (const parameter of this.parameters()) {
        if (options.setToNone ?? true) parameter.grad = null;
        else parameter.grad?.detach_().zero_();
      }
    });
  }

  /**
   * Moves or converts parameters, gradients and buffers in place: the objects stay, so an optimizer made
   * before still holds them. A dtype applies to floating-point state only.
   */
  to(target: DType | string | ModuleTarget): this {
    const wanted =
      typeof target === 'object' ? target : isDType(target) ? { dtype: target } : { device: target };
    noGrad(() =>
      scope(() => {
        for (const parameter of this.parameters()) {
          convert(parameter, wanted);
          const { grad } = parameter;
          if (grad !== null) convert(grad, wanted);
        }
        for (const buffer of this.buffers()) convert(buffer, wanted);
      }),
    );
    return this;
  }

  cpu(): this {
    return this.to('cpu');
  }

  cuda(device = 0): this {
    return this.to(`cuda:${device}`);
  }

  float(): this {
    return this.to('float32');
  }

  double(): this {
    return this.to('float64');
  }

  half(): this {
    return this.to('float16');
  }

  bfloat16(): this {
    return this.to('bfloat16');
  }

  /** The settings shown between the brackets when the module is printed. */
  extraRepr(): string {
    return '';
  }

  /** One line a layer, nested, as PyTorch prints modules. */
  toString(): string {
    const children = Array.from(this.ownChildren(), ([name, child]) => {
      const [first, ...rest] = child.toString().split('\n');
      return [`(${name}): ${first}`, ...rest].map((line) => `  ${line}`).join('\n');
    });
    const extra = this.extraRepr();
    if (children.length === 0) return `${this.constructor.name}(${extra})`;
    const lines = extra === '' ? children : [`  ${extra}`, ...children];
    return `${this.constructor.name}(\n${lines.join('\n')}\n)`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

const join = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}.${name}`);

/** Swaps the data under a tensor, which stays the same object for autograd and for optimizers. */
function convert(tensor: Tensor, { dtype, device, memoryFormat, nonBlocking }: ModuleTarget): void {
  const dimensions = memoryFormat === undefined ? undefined : FORMAT_DIMENSIONS[memoryFormat];
  const data = tensor.detach();
  const converted = data.to({
    dtype: tensor.isFloatingPoint() ? dtype : undefined,
    device,
    memoryFormat: dimensions === undefined || tensor.ndim === dimensions ? memoryFormat : undefined,
    nonBlocking,
  });
  if (!converted.isSame(data)) setData(tensor, converted);
}
