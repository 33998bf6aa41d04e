import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const fileOf = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** What one rank gave: the result of its program, or the error that it threw. */
export interface RankOutcome {
  result?: Record<string, unknown>;
  error?: { code: string; message: string; hint?: string };
}

/** A port outside the range from which systems take those of connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, () => resolve(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/**
 * Runs a program of `file` as `worldSize` processes of one thread each that meet at one port; `only` leaves
 * out other ranks. Gives every rank's outcome.
 */
export async function runRanks(
  program: string,
  worldSize: number,
  { only, port, file = 'rank-program' }: { only?: number[]; port?: number; file?: string } = {},
): Promise<(RankOutcome | undefined)[]> {
  const meeting = String(port ?? (await freePort()));
  const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
  return Promise.all(
    ranks.map(async (rank) => {
      if (only && !only.includes(rank)) return undefined;
      const child = spawn(process.execPath, [fileOf(file), program], {
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
