import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * A control-group file at every level from this process's group to the root: a limit holds for all below.
 * `controller` is empty for version 2. Where a container shows only its own subtree, the paths beyond do not
 * exist.
 * @param system the folder that holds `proc` and `sys`
 */
export function readLevels(controller: string, name: string, system = '/'): string[] {
  const memberships = path.join(system, 'proc/self/cgroup');
  const membership = existsSync(memberships) ? readFileSync(memberships, 'utf8') : '';
  const line = membership
    .split('\n')
    .find((text) => (text.split(':')[1] ?? '').split(',').includes(controller));
  if (line === undefined) return [];
  const mount = path.join(system, 'sys/fs/cgroup', controller);
  const texts: string[] = [];
  for (let group = line.split(':').slice(2).join(':'); ; group = path.dirname(group)) {
    const file = path.join(mount, group, name);
    if (existsSync(file)) texts.push(readFileSync(file, 'utf8'));
    if (group === '/' || group === '.' || group === '') return texts;
  }
}
