import { snakeCase } from './errors.ts';

const counts = new Map<string, number>();

/** The next free name of a class: `dense`, `dense_1`, … */
export function autoName(className: string): string {
  const base = snakeCase(className);
  const count = counts.get(base) ?? 0;
  counts.set(base, count + 1);
  return count === 0 ? base : `${base}_${count}`;
}

/** Names begin anew: the next Dense is `dense` again (keras.backend.clear_session). */
export const clearSession = (): void => counts.clear();
