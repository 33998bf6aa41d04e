/** The programs that start the processes of a job, and how each tells a process which one it is. */
import type { Place } from '@mezzo/detect';
import { UsageError } from '../failure.ts';

type Env = NodeJS.ProcessEnv;

interface Launcher {
  /** Variables that only its processes have. */
  readonly marks: readonly string[];
  readonly rank: string;
  readonly size: string;
  readonly localRank: string;
  readonly localSize: (env: Env) => number;
  readonly host: (env: Env) => string;
  readonly port: (env: Env) => number;
}

/** Slurm names no port: jobs on one host get different ones by their numbers. */
const SLURM_PORTS = { first: 20_000, count: 10_000 };

const LAUNCHERS: readonly Launcher[] = [
  // torchrun, and the Kubernetes training operators, which set no local variables.
  {
    marks: ['RANK', 'WORLD_SIZE'],
    rank: 'RANK',
    size: 'WORLD_SIZE',
    localRank: 'LOCAL_RANK',
    localSize: (env) => number(env, 'LOCAL_WORLD_SIZE', 1),
    host: (env) => text(env, 'MASTER_ADDR'),
    port: (env) => number(env, 'MASTER_PORT'),
  },
  {
    marks: ['SLURM_STEP_ID', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'],
    rank: 'SLURM_PROCID',
    size: 'SLURM_STEP_NUM_TASKS',
    localRank: 'SLURM_LOCALID',
    localSize: (env) => tasksOf(text(env, 'SLURM_STEP_TASKS_PER_NODE'), number(env, 'SLURM_NODEID', 0)),
    host: (env) => env.MASTER_ADDR ?? firstHost(text(env, 'SLURM_STEP_NODELIST')),
    port: (env) =>
      number(env, 'MASTER_PORT', SLURM_PORTS.first + (number(env, 'SLURM_JOB_ID') % SLURM_PORTS.count)),
  },
];

/**
 * The place in its job of a process that a launcher started; null for one that stands alone.
 * @throws {UsageError} when a variable is missing or no number
 */
export function launchedPlace(env: Env): Place | null {
  const launcher = LAUNCHERS.find(({ marks }) => marks.every((name) => set(env, name)));
  if (launcher === undefined) return null;
  const size = number(env, launcher.size);
  if (size === 1) return null;
  const rank = number(env, launcher.rank);
  if (rank >= size) {
    throw new UsageError(
      'USAGE',
      `${launcher.rank}=${rank}, and ${launcher.size}=${size}: ranks count from 0`,
    );
  }
  return {
    rank,
    size,
    localRank: number(env, launcher.localRank, 0),
    localSize: launcher.localSize(env),
    host: launcher.host(env),
    port: launcher.port(env),
  };
}

/** The variables that say a place, under torchrun's names. */
export function environmentOf({
  rank,
  size,
  localRank,
  localSize,
  host,
  port,
}: Place): Record<string, string> {
  return {
    RANK: String(rank),
    WORLD_SIZE: String(size),
    LOCAL_RANK: String(localRank),
    LOCAL_WORLD_SIZE: String(localSize),
    MASTER_ADDR: host,
    MASTER_PORT: String(port),
  };
}

const set = (env: Env, name: string): boolean => env[name] !== undefined && env[name] !== '';

function text(env: Env, name: string): string {
  if (set(env, name)) return env[name]!;
  throw new UsageError(
    'USAGE',
    `the launcher of this process did not set ${name}`,
    'docs/distributed.md lists what each launcher sets',
  );
}

function number(env: Env, name: string, otherwise?: number): number {
  if (otherwise !== undefined && !set(env, name)) return otherwise;
  const value = text(env, name);
  if (/^\d+$/.test(value)) return Number(value);
  throw new UsageError('USAGE', `${name}=${value}: expected a number`);
}

/** `node[03-05,9],other` begins with node03. */
function firstHost(list: string): string {
  const [, prefix = '', first = '', suffix = ''] =
    /^([^,[]+)(?:\[([^\],-]+)[^\]]*\])?([^,]*)/.exec(list) ?? [];
  return prefix + first + suffix;
}

/** `2(x3),1` is 2 tasks on each of the first three nodes, and 1 on the fourth. */
function tasksOf(perNode: string, node: number): number {
  const counts = perNode.split(',').flatMap((entry) => {
    const [, count, times = '1'] = /^(\d+)(?:\(x(\d+)\))?$/.exec(entry) ?? [];
    return count === undefined ? [] : Array.from({ length: Number(times) }, () => Number(count));
  });
  return counts[node] ?? 1;
}
