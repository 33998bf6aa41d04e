import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Place, TrainEvent } from '@mezzo/detect';
import { warningsOnly } from './events.ts';
import { environmentOf } from './launchers.ts';
import type { Order, RankMessage } from './message.ts';
import { failureOf, type RankEnd } from './outcome.ts';

const PROGRAM = fileURLToPath(new URL('./process.js', import.meta.url));
const LOCAL = '127.0.0.1';
/** How long the others may take to tell what they know when a rank has failed. */
const GRACE_MS = 5000;

export interface Supervision {
  readonly ranks: number;
  /** Compute threads of each. */
  readonly threads: string;
  /** Stops all of them, after a checkpoint. */
  readonly signal: AbortSignal;
  /** The job's events; of ranks but the first, warnings. */
  readonly onEvent: (event: TrainEvent) => void;
}

/**
 * Starts a process for each rank on this machine and waits for all of them; when one fails, the others end too.
 * @throws {MezzoError} one error for the job, see {@link failureOf}
 */
export async function superviseRanks(
  order: Order,
  { ranks, threads, signal, onEvent }: Supervision,
): Promise<void> {
  const port = await freePort();
  const children = Array.from({ length: ranks }, (_, rank) => {
    const place = { rank, size: ranks, localRank: rank, localSize: ranks, host: LOCAL, port };
    return new RankProcess(place, order, threads, rank === 0 ? onEvent : warningsOnly(onEvent));
  });
  const killAll = () => {
    for (const child of children) child.kill();
  };
  const stopAll = () => {
    for (const child of children) child.stop();
  };
  let grace: NodeJS.Timeout | undefined;
  for (const child of children) {
    child.onTrouble = () => {
      grace ??= setTimeout(killAll, GRACE_MS);
    };
  }
  process.once('exit', killAll);
  signal.addEventListener('abort', stopAll);
  if (signal.aborted) stopAll();
  try {
    const ends = await Promise.all(children.map((child) => child.ended));
    const failure = failureOf(ends);
    if (failure !== null) throw failure;
  } finally {
    clearTimeout(grace);
    signal.removeEventListener('abort', stopAll);
    process.off('exit', killAll);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, LOCAL);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return (address as { port: number }).port;
}

/** One rank's process, as its supervisor sees it. */
class RankProcess {
  /** How it ended. */
  readonly ended: Promise<RankEnd>;
  /** Called when it fails. */
  onTrouble: () => void = () => undefined;
  private readonly child: ChildProcess;
  private readonly end: { -readonly [Key in keyof RankEnd]: RankEnd[Key] };

  constructor(place: Place, order: Order, threads: string, onEvent: (event: TrainEvent) => void) {
    this.child = spawn(process.execPath, [PROGRAM, JSON.stringify(order)], {
      env: { ...process.env, ...environmentOf(place), OMP_NUM_THREADS: threads },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Numbers that are not finite stay what they are.
      serialization: 'advanced',
      // Ctrl-C reaches the supervisor, which tells each rank once.
      detached: true,
    });
    this.end = { rank: place.rank, pid: this.child.pid ?? 0, done: false, killed: false, step: null };
    this.child.on('message', (message: RankMessage) => {
      if ('failure' in message) {
        this.end.failure = message.failure;
        this.onTrouble();
      } else if ('done' in message) this.end.done = true;
      else {
        const { event } = message;
        if (event.event === 'step') this.end.step = event;
        onEvent(event);
      }
    });
    this.ended = this.follow();
  }

  stop(): void {
    if (this.running) this.child.kill('SIGINT');
  }

  kill(): void {
    if (!this.running) return;
    this.end.killed = true;
    this.child.kill('SIGKILL');
  }

  private get running(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  private async follow(): Promise<RankEnd> {
    const { child, end } = this;
    await new Promise<void>((resolve) => {
      child.once('error', (error) => {
        end.failure ??= {
          code: 'RANK_FAILED',
          message: `rank ${end.rank} could not be started: ${error.message}`,
        };
        this.onTrouble();
        if (child.pid === undefined) resolve();
      });
      child.once('exit', () => {
        if (child.exitCode !== 0) this.onTrouble();
      });
      child.once('close', () => resolve());
    });
    return { ...end, exitCode: child.exitCode, signalCode: child.signalCode };
  }
}
