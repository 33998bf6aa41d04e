import { native } from '@mezzo/libtorch';

let overloads: Map<string, string[]> | undefined;

/** Op name → its overload names ('' is the default one), for all ops with a schema. */
function registered(): Map<string, string[]> {
  overloads ??= readOverloads();
  return overloads;
}

/** Overload names of an op, none when this LibTorch has no such op. */
export const overloadsOf = (name: string): readonly string[] => registered().get(name) ?? [];

/** Names of all ops of a namespace, for example 'aten', without their overloads. */
export const opNamesOf = (namespace: string): string[] =>
  [...registered().keys()].filter((name) => name.startsWith(`${namespace}::`)).sort();

function readOverloads(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const full of native().opNames()) {
    const dot = full.indexOf('.', full.indexOf('::'));
    const [name, overload] = dot === -1 ? [full, ''] : [full.slice(0, dot), full.slice(dot + 1)];
    const known = found.get(name);
    if (known === undefined) found.set(name, [overload]);
    else known.push(overload);
  }
  return found;
}
