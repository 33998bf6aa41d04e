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

/** Says why arguments do not fit; called only when no overload takes them. */
export type Mismatch = () => string;

/**
 * Arguments in schema order (undefined where the default applies), or why they do not fit. A single number or
 * boolean fits a list of fixed length, which the native side fills with it.
 */
export function bindArguments(
  signature: Signature,
  positional: readonly unknown[],
  keywords: Keywords,
): readonly unknown[] | Mismatch {
  const { parameters } = signature;
  if (positional.length > signature.positional) {
    const most = signature.positional;
    return () =>
      `takes at most ${most} positional argument${most === 1 ? '' : 's'}, got ${positional.length}`;
  }
  const bound = keywords === NO_KEYWORDS ? positional : bindKeywords(signature, positional, keywords);
  if (typeof bound === 'function') return bound;
  for (let i = 0; i < parameters.length; i++) {
    const { info, type } = parameters[i]!;
    const value = bound[i];
    if (value === undefined) {
      if (!info.hasDefault) return () => `argument '${info.name}' (${info.type}) is missing`;
    } else if (!accepts(type, value)) {
      return () => `argument '${info.name}' (${info.type}) got ${describe(value)}`;
    }
  }
  return bound;
}

function bindKeywords(
  signature: Signature,
  positional: readonly unknown[],
  keywords: Keywords,
): readonly unknown[] | Mismatch {
  const bound = positional.slice();
  for (const name of Object.keys(keywords)) {
    if (keywords[name] === undefined) continue;
    const i = signature.byName.get(name);
    if (i === undefined) return () => `unknown argument '${name}'`;
    if (bound[i] !== undefined) return () => `argument '${name}' is given twice`;
    while (bound.length < i) bound.push(undefined);
    bound[i] = keywords[name];
  }
  return bound;
}
