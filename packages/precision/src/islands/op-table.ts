import { native } from '@mezzo/libtorch';
import { didYouMean } from '@mezzo/libtorch/nearest';
import { PlanError, type PlanRule } from './plan.ts';

/** Dtypes of single operations, as the bridge looks them up while a layer runs. */
export interface OpTable {
  /** Runs `fn` with these rules in force on this thread. */
  during<T>(fn: () => T): T;
}

/** Equal rules share one table, which lives as long as the thread: there are as many as plans have sets of rules. */
const tables = new Map<string, OpTable>();

/**
 * The table of these rules, null for none.
 * @throws PlanError PLAN_MISMATCH for an operation that LibTorch does not have, or that only writes in place
 */
export function opTableOf(rules: ReadonlyMap<string, PlanRule>): OpTable | null {
  if (rules.size === 0) return null;
  const dtypes = Array.from(rules, ([op, { dtype }]) => [op, dtype] as const).sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  const key = JSON.stringify(dtypes);
  const known = tables.get(key);
  if (known !== undefined) return known;
  const entries = dtypes.flatMap(([op, dtype]) => idsOf(op).map((id) => ({ id, dtype })));
  const torch = native();
  const table = torch.newOpPrecision(
    Float64Array.from(entries, ({ id }) => id),
    entries.map(({ dtype }) => dtype),
  );
  const made: OpTable = {
    during(fn) {
      const previous = torch.useOpPrecision(table);
      try {
        return fn();
      } finally {
        torch.useOpPrecision(previous);
      }
    },
  };
  tables.set(key, made);
  return made;
}

/** Ids of the overloads that return something new. In-place ones work in their destination's dtype. */
function idsOf(op: string): number[] {
  const torch = native();
  const overloads = torch
    .opNames()
    .filter((name) => name === op || name.startsWith(`${op}.`))
    .map((name) => torch.lookup(op, name.slice(op.length + 1)));
  if (overloads.length === 0) {
    const names = new Set(torch.opNames().map((name) => name.split('.')[0]!));
    const near = didYouMean(op, names);
    throw new PlanError(
      'PLAN_MISMATCH',
      `the precision plan names the operation '${op}', which LibTorch does not have${near}`,
    );
  }
  const fresh = overloads.filter(({ schema }) => !schema.includes('!'));
  if (fresh.length === 0) {
    throw new PlanError(
      'PLAN_MISMATCH',
      `the precision plan names the operation '${op}', which writes in place: it works in its destination's dtype`,
    );
  }
  return fresh.map(({ id }) => id);
}
