import { existsSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';
import { readLevels } from './control-group.ts';

/** How each version of control groups states its memory: limit, use, and the page cache that the kernel takes back first. */
const VERSIONS = [
  { controller: '', limit: 'memory.max', used: 'memory.current', cache: 'inactive_file' },
  {
    controller: 'memory',
    limit: 'memory.limit_in_bytes',
    used: 'memory.usage_in_bytes',
    cache: 'total_inactive_file',
  },
] as const;

/**
 * Bytes of memory that this process may still take before the kernel ends it or one of its group: what the system
 * has free, within the limits of its control group and of those above it. Files in the page cache count as free.
 * @param system the folder that holds `proc` and `sys`
 */
export function availableMemory(system = '/'): number {
  const info = path.join(system, 'proc/meminfo');
  const text = existsSync(info) ? readFileSync(info, 'utf8') : '';
  const free = Number(/^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1] ?? totalmem() / 1024) * 1024;
  const rooms = VERSIONS.flatMap(({ controller, limit, used, cache }) => {
    const [limits, uses, statistics] = [limit, used, 'memory.stat'].map((name) =>
      readLevels(controller, name, system),
    ) as [string[], string[], string[]];
    return limits.flatMap((value, level) => {
      const taken = Number(uses[level]) - statistic(statistics[level] ?? '', cache);
      // `max` is no number: no limit at that level.
      const room = Number(value) - taken;
      return Number.isFinite(room) ? [Math.max(0, room)] : [];
    });
  });
  return Math.min(free, ...rooms);
}
const statistic = (text: string, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
