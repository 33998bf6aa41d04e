import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { TrainOptions } from '../src/index.ts';
import type { RankTraining } from './rank-training.ts';

const PROGRAM = fileURLToPath(new URL('./rank-training.js', import.meta.url));

/**
 * Trains in `size` processes of one thread each; gives what each did.
 * @param only options of one rank besides, and after how many steps it aborts
 */
export async function trainInRanks(
  size: number,
  options: TrainOptions,
  only: { rank?: number; options?: TrainOptions; stopAfter?: number } = {},
): Promise<RankTraining[]> {
  const port = await freePort();
  return Promise.all(
    Array.from({ length: size }, async (_, rank) => {
      const own = only.rank === rank ? only : {};
      const order = { options: { ...options, ...own.options }, rank, size, port, stopAfter: own.stopAfter };
      const child = spawn(process.execPath, [PROGRAM, JSON.stringify(order)], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, OMP_NUM_THREADS: '1' },
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      await once(child, 'close');
      return JSON.parse(text) as RankTraining;
    }),
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
