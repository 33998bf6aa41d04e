import { accepts, describe, type Signature } from './schema.ts';

export type Keywords = Readonly<Record<string, unknown>>;

const NO_KEYWORDS: Keywords = Object.freeze({});

/** A trailing plain object holds the keyword arguments. */
export function splitKeywords(args: unknown[]): [positional: unknown[], keywords: Keywords] {
  const last = args[args.length - 1];
  if (typeof last !== 'object' || last === null || Object.getPrototypeOf(last) !== Object.prototype) {
    return [args, NO_KEYWORDS];
  }
  return [args.slice(0, -1), last as Keywords];
}

/**
 * Arguments in schema order (undefined where the default applies), or the reason why they do not fit. A
 * single number or boolean fits a list of fixed length, which the native side fills with it.
 */
export function bindArguments(
  signature: Signature,
  positional: readonly unknown[],
  keywords: Keywords,
): unknown[] | string {
  const { parameters } = signature;
  if (positional.length > signature.positional) {
    return `takes at most ${count(signature.positional, 'positional argument')}, got ${positional.length}`;
  }
  const bound = positional.slice();
  if (keywords !== NO_KEYWORDS) {
    const problem = bindKeywords(signature, bound, keywords);
    if (problem !== undefined) return problem;
  }
  for (let i = 0; i < parameters.length; i++) {
    const { info, type } = parameters[i]!;
    const value = bound[i];
    if (value === undefined) {
      if (!info.hasDefault) return `argument '${info.name}' (${info.type}) is missing`;
    } else if (!accepts(type, value)) {
      return `argument '${info.name}' (${info.type}) got ${describe(value)}`;
    }
  }
  return bound;
}

function bindKeywords(signature: Signature, bound: unknown[], keywords: Keywords): string | undefined {
  for (const name of Object.keys(keywords)) {
    if (keywords[name] === undefined) continue;
    const i = signature.byName.get(name);
    if (i === undefined) return `unknown argument '${name}'`;
    if (bound[i] !== undefined) return `argument '${name}' is given twice`;
    while (bound.length < i) bound.push(undefined);
    bound[i] = keywords[name];
  }
  return undefined;
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
