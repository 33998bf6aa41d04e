import type { Tensor } from '../tensor/tensor.ts';
import { Layer } from './layer.ts';
import { Module } from './module.ts';

/** Modules one after the other, named '0', '1', … */
export class Sequential extends Layer {
  readonly #layers: Layer[];

  constructor(...layers: Layer[]) {
    super();
    this.#layers = layers;
  }

  override forward(input: Tensor): Tensor {
    let output = input;
    for (const layer of this.#layers) output = layer.forward(output);
    return output;
  }

  protected override *ownChildren(): Generator<[name: string, module: Module]> {
    for (const [i, layer] of this.#layers.entries()) yield [String(i), layer];
  }

  protected override setChild(name: string, module: Module): void {
    this.replace(Number(name), module as Layer);
  }

  get length(): number {
    return this.#layers.length;
  }

  /** The layer at a position; negative counts from the end. */
  at(index: number): Layer {
    return required(this.#layers, index);
  }

  append(layer: Layer): this {
    this.#layers.push(layer);
    return this;
  }

  /** Puts another layer in place of one. */
  replace(index: number, layer: Layer): void {
    required(this.#layers, index);
    this.#layers[index < 0 ? index + this.length : index] = layer;
  }

  [Symbol.iterator](): IterableIterator<Layer> {
    return this.#layers.values();
  }
}

/** A list of modules that belong to their owner; it has no forward of its own. */
export class ModuleList<M extends Module = Layer> extends Module {
  readonly #modules: M[];

  constructor(modules: Iterable<M> = []) {
    super();
    this.#modules = [...modules];
  }

  override forward(): never {
    throw new TypeError('ModuleList has no forward: call its modules');
  }

  protected override *ownChildren(): Generator<[name: string, module: Module]> {
    for (const [i, module] of this.#modules.entries()) yield [String(i), module];
  }

  protected override setChild(name: string, module: Module): void {
    this.replace(Number(name), module as M);
  }

  get length(): number {
    return this.#modules.length;
  }

  /** The module at a position; negative counts from the end. */
  at(index: number): M {
    return required(this.#modules, index);
  }

  append(module: M): this {
    this.#modules.push(module);
    return this;
  }

  replace(index: number, module: M): void {
    required(this.#modules, index);
    this.#modules[index < 0 ? index + this.length : index] = module;
  }

  map<T>(fn: (module: M, index: number) => T): T[] {
    return this.#modules.map(fn);
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.#modules.values();
  }
}

/** Modules by name that belong to their owner. */
export class ModuleDict<M extends Module = Layer> extends Module {
  readonly #modules: Map<string, M>;

  constructor(modules: Readonly<Record<string, M>> = {}) {
    super();
    this.#modules = new Map(Object.entries(modules));
  }

  override forward(): never {
    throw new TypeError('ModuleDict has no forward: call its modules');
  }

  protected override *ownChildren(): Generator<[name: string, module: Module]> {
    yield* this.#modules;
  }

  protected override setChild(name: string, module: Module): void {
    this.set(name, module as M);
  }

  get(name: string): M {
    const module = this.#modules.get(name);
    if (module === undefined) throw new RangeError(`ModuleDict has no module '${name}'`);
    return module;
  }

  set(name: string, module: M): this {
    this.#modules.set(name, module);
    return this;
  }

  has(name: string): boolean {
    return this.#modules.has(name);
  }

  keys(): IterableIterator<string> {
    return this.#modules.keys();
  }
}

function required<M>(modules: readonly M[], index: number): M {
  const module = modules.at(index);
  if (module === undefined)
    throw new RangeError(`index ${index} is out of range for ${modules.length} modules`);
  return module;
}
