import { Module } from './module.ts';
import type { Parameter } from './parameter.ts';

/** A list of parameters that belong to its owner, named '0', '1', … */
export class ParameterList extends Module {
  readonly #parameters: Parameter[];

  constructor(parameters: Iterable<Parameter> = []) {
    super();
    this.#parameters = [...parameters];
  }

  override forward(): never {
    throw new TypeError('ParameterList has no forward: use its parameters');
  }

  protected override *ownParameters(): Generator<[name: string, parameter: Parameter]> {
    for (const [i, parameter] of this.#parameters.entries()) yield [String(i), parameter];
  }

  get length(): number {
    return this.#parameters.length;
  }

  /** The parameter at a position; negative counts from the end. */
  at(index: number): Parameter {
    const parameter = this.#parameters.at(index);
    if (parameter === undefined) {
      throw new RangeError(`index ${index} is out of range for ${this.length} parameters`);
    }
    return parameter;
  }

  append(parameter: Parameter): this {
    this.#parameters.push(parameter);
    return this;
  }

  [Symbol.iterator](): IterableIterator<Parameter> {
    return this.#parameters.values();
  }
}

/** Parameters by name that belong to their owner. */
export class ParameterDict extends Module {
  readonly #parameters: Map<string, Parameter>;

  constructor(parameters: Readonly<Record<string, Parameter>> = {}) {
    super();
    this.#parameters = new Map(Object.entries(parameters));
  }

  override forward(): never {
    throw new TypeError('ParameterDict has no forward: use its parameters');
  }

  protected override *ownParameters(): Generator<[name: string, parameter: Parameter]> {
    yield* this.#parameters;
  }

  get(name: string): Parameter {
    const parameter = this.#parameters.get(name);
    if (parameter === undefined) throw new RangeError(`ParameterDict has no parameter '${name}'`);
    return parameter;
  }

  set(name: string, parameter: Parameter): this {
    this.#parameters.set(name, parameter);
    return this;
  }

  has(name: string): boolean {
    return this.#parameters.has(name);
  }

  keys(): IterableIterator<string> {
    return this.#parameters.keys();
  }
}
