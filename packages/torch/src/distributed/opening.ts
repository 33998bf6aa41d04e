import { DistributedError } from './errors.ts';

export const seconds = (milliseconds: number): string => `${Math.round(milliseconds / 100) / 10} s`;

interface Place {
  host: string;
  port: number;
  timeout: number;
  isMaster: boolean;
}

const FAILURES: { pattern: RegExp; error: (place: Place, cause: unknown) => DistributedError }[] = [
  {
    pattern: /EADDRINUSE|address already in use/i,
    error: ({ port }, cause) =>
      new DistributedError('PORT_IN_USE', `the store cannot be served on port ${port}: it is in use`, {
        hint: 'end the run that holds it, or choose another port (MASTER_PORT)',
        cause,
      }),
  },
  {
    pattern: /clients joined/,
    error: ({ timeout }, cause) => {
      const [joined = '?', all = '?'] = /(\d+)\/(\d+) clients/.exec(String(cause))?.slice(1) ?? [];
      return new DistributedError(
        'DISTRIBUTED_TIMEOUT',
        `the store waited ${seconds(timeout)} for its processes: ${joined} of ${all} came`,
        { hint: 'start them all with the same address, port and world size', cause },
      );
    },
  },
  {
    pattern: /client socket|time.?d? ?out|failed to connect/i,
    error: ({ host, port, timeout }, cause) =>
      new DistributedError(
        'DISTRIBUTED_TIMEOUT',
        `no store answered at ${host}:${port} within ${seconds(timeout)}`,
        { hint: 'rank 0 serves it: is it running, with this MASTER_ADDR and MASTER_PORT?', cause },
      ),
  },
];

/** Says in the terms of the caller why a store could not be opened. */
export function openingFailure(error: unknown, place: Place): unknown {
  const text = error instanceof Error ? error.message : '';
  return FAILURES.find(({ pattern }) => pattern.test(text))?.error(place, error) ?? error;
}
