import { DistributedError } from './errors.ts';

/** Where the processes of a group meet. */
export interface Rendezvous {
  host: string;
  port: number;
  rank: number;
  worldSize: number;
}

export interface RendezvousOptions {
  initMethod?: string;
  rank?: number;
  worldSize?: number;
}

/**
 * Reads where to meet. `env://` takes RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT from the environment, as
 * torchrun sets them; `tcp://host:port` takes `rank` and `worldSize` from the options.
 * @throws DistributedError VALUE naming what is missing or no number
 */
export function rendezvous(options: RendezvousOptions, env: NodeJS.ProcessEnv): Rendezvous {
  const { initMethod = 'env://' } = options;
  const fromEnv = initMethod === 'env://' || initMethod.startsWith('env://?');
  const address = fromEnv ? undefined : /^tcp:\/\/(\[[^\]]+\]|[^:/?]+):(\d+)\/?$/.exec(initMethod);
  if (!fromEnv && !address) {
    throw new DistributedError('VALUE', `initMethod: expected env:// or tcp://host:port, got ${initMethod}`);
  }
  const read = (name: string) => integer(name, required(name, env[name]));
  const rank = options.rank ?? (fromEnv ? read('RANK') : missing('rank'));
  const worldSize = options.worldSize ?? (fromEnv ? read('WORLD_SIZE') : missing('worldSize'));
  const host = address ? address[1]!.replace(/^\[|\]$/g, '') : required('MASTER_ADDR', env.MASTER_ADDR);
  const port = address ? Number(address[2]) : read('MASTER_PORT');
  checkRank(rank, worldSize);
  if (port > 65535) throw new DistributedError('VALUE', `the port must be at most 65535, got ${port}`);
  return { host, port, rank, worldSize };
}

export function checkRank(rank: number, worldSize: number): void {
  if (!Number.isInteger(worldSize) || worldSize < 1) {
    throw new DistributedError('VALUE', `the world size must be a positive integer, got ${worldSize}`);
  }
  if (!Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
    throw new DistributedError('VALUE', `the rank must be from 0 to ${worldSize - 1}, got ${rank}`);
  }
}

function required(name: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value;
  throw new DistributedError('VALUE', `initProcessGroup: env:// needs ${name} in the environment`, {
    hint: 'start each process with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or pass initMethod tcp://host:port',
  });
}

function missing(name: string): never {
  throw new DistributedError('VALUE', `initProcessGroup: tcp:// needs the option ${name}`);
}

function integer(name: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new DistributedError('VALUE', `${name} must be a number, got ${JSON.stringify(text)}`);
}
