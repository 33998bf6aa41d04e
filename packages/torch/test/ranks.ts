import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./rank-program.js', import.meta.url));

/** What one rank gave: the result of its program, or the error that it threw. */
export interface RankOutcome {
  result?: Record<string, unknown>;
  error?: { code: string; message: string; hint?: string };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/**
 * Runs a program of rank-program.ts as `worldSize` processes of one thread each that meet at one port; `only` leaves
 * out other ranks. Gives every rank's outcome.
 */
export async function runRanks(
  program: string,
  worldSize: number,
  { only, port }: { only?: number[]; port?: number } = {},
): Promise<(RankOutcome | undefined)[]> {
  const meeting = String(port ?? (await freePort()));
  const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
  return Promise.all(
    ranks.map(async (rank) => {
      if (only && !only.includes(rank)) return undefined;
      const child = spawn(process.execPath, [PROGRAM, program], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...process.env,
          OMP_NUM_THREADS: '1',
          TORCH_CPP_LOG_LEVEL: 'FATAL',
          RANK: String(rank),
          LOCAL_RANK: String(rank),
          WORLD_SIZE: String(worldSize),
          MASTER_ADDR: '127.0.0.1',
          MASTER_PORT: meeting,
        },
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      await once(child, 'close');
      return text === '' ? {} : (JSON.parse(text) as RankOutcome);
    }),
  );
}
