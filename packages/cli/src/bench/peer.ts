import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { MezzoError } from '@mezzo/libtorch';

const SCRIPTS = new URL('../../../../../bench/peers/', import.meta.url);

/** A peer's script, waiting for commands: each line it is sent is answered by one JSON line. */
export class Peer {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly name: string;

  private constructor(python: string, script: string, args: readonly string[]) {
    this.name = script;
    const file = fileURLToPath(new URL(script, SCRIPTS));
    // A LibTorch chosen for Mezzo must not leak into the peer, which has its own.
    const { LIBTORCH: _, ...env } = process.env;
    this.child = spawn(python, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.answers = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts a script of `bench/peers` and waits until it is ready. */
  static async start(python: string, script: string, args: readonly string[] = []): Promise<Peer> {
    const peer = new Peer(python, script, args);
    await peer.answer();
    return peer;
  }

  /** Runs `count` of what the script measures; returns seconds. */
  async measure(count: number): Promise<number[]> {
    this.child.stdin!.write(`${count}\n`);
    return ((await this.answer()) as { seconds: number[] }).seconds;
  }

  stop(): void {
    this.child.stdin!.end();
  }

  private async answer(): Promise<unknown> {
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new MezzoError('PEER_FAILED', `the peer ${this.name} ended before it answered`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }
}
