import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MezzoError } from '@mezzo/libtorch';

const PEERS = new URL('../../../../../bench/peers/', import.meta.url);

/** One side of a comparison in a process of its own, waiting for commands: each line is answered by one JSON line. */
export class SideProcess {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly name: string;

  private constructor(name: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name;
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    // A command to a process that has ended is told as its missing answer.
    this.child.stdin!.on('error', () => undefined);
    this.answers = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /**
   * Starts a script of `bench/peers` and waits until it is ready.
   * @throws {MezzoError} PEER_FAILED
   */
  static async python(python: string, script: string, args: readonly string[] = []): Promise<SideProcess> {
    // A LibTorch chosen for Mezzo must not leak into the peer, which has its own.
    const { LIBTORCH: _, ...inherited } = process.env;
    const env = { ...inherited, YOLO_VERBOSE: 'false' };
    const file = fileURLToPath(new URL(script, PEERS));
    return SideProcess.ready(new SideProcess(`peer ${script}`, python, [file, ...args], env));
  }

  /**
   * Starts a program of this folder, which takes its settings as JSON, and waits until it is ready.
   * @param threads compute threads; Mezzo's choice unless given
   * @throws {MezzoError} PEER_FAILED
   */
  static async node(program: string, settings: object, threads?: number): Promise<SideProcess> {
    const env = threads === undefined ? process.env : { ...process.env, OMP_NUM_THREADS: String(threads) };
    const file = fileURLToPath(new URL(program, import.meta.url));
    const args = [file, JSON.stringify(settings)];
    return SideProcess.ready(new SideProcess(`process ${program}`, process.execPath, args, env));
  }

  private static async ready(side: SideProcess): Promise<SideProcess> {
    try {
      await side.answer();
    } catch (error) {
      await side.stop();
      throw error;
    }
    return side;
  }

  /** Runs `count` of what the program measures; returns seconds, or what else it counts. */
  async measure(count: number): Promise<number[]> {
    this.child.stdin!.write(`${count}\n`);
    return ((await this.answer()) as { samples: number[] }).samples;
  }

  /** Ends the process, and waits until its memory and cores are free. */
  async stop(): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.stdin!.end();
    await closed;
  }

  private async answer(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new MezzoError('PEER_FAILED', `the ${this.name} ended before it answered`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }
}

/** A published name is a description to the peer; without `.yaml` it would look for weights. */
export const peerModel = (model: string): string => (path.extname(model) === '' ? `${model}.yaml` : model);

/** Runs `work` with a side that starts before it and ends with it, however it ends. */
export async function withSide<T>(
  started: Promise<SideProcess>,
  work: (side: SideProcess) => Promise<T>,
): Promise<T> {
  const side = await started;
  try {
    return await work(side);
  } finally {
    await side.stop();
  }
}
