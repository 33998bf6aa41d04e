import { type ChildProcess, spawn } from 'node:child_process';
import { driverPresent } from './driver.ts';
import { findExecutable } from './executables.ts';

/** What the driver says of a card at one moment, all processes on it together. */
export interface GpuSample {
  /** Part of the last sampling period in which the card was at work, 0 to 1; null where the driver does not tell. */
  readonly utilization: number | null;
  /** Bytes; null where the driver does not tell. */
  readonly memoryUsed: number | null;
}

export interface GpuMonitorOptions {
  /** Number of the card among those that CUDA sees. */
  index: number;
  /** What CUDA calls it: an answer about a card of another name is not used. */
  name: string;
  env?: NodeJS.ProcessEnv;
  /** Between two samples. */
  seconds?: number;
}

const FIELDS = 'name,utilization.gpu,memory.used';
const MIB = 1 << 20;

/**
 * Follows the use of one card through a single `nvidia-smi` that writes a line every few seconds, for as long as this
 * object is not stopped or this process lives. Nothing waits for it: `latest` is the last line that came.
 */
export class GpuMonitor {
  /** null before the first sample, and where there is none to be had. */
  latest: GpuSample | null = null;
  private readonly child: ChildProcess;
  private samples: GpuSample[] = [];
  private rest = '';

  private constructor(child: ChildProcess, name: string) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.read(text, name));
    // It could not be started, or its end of the pipe is gone: no samples, as without nvidia-smi.
    child.on('error', () => this.stop());
    child.on('exit', () => this.stop());
    // A run that is over does not wait for it.
    child.unref();
    (child.stdout as { unref?: () => void } | null)?.unref?.();
  }

  /** null where there is no driver, no nvidia-smi, or no way to name the card to it. Throws nothing. */
  static start({ index, name, env = process.env, seconds = 2 }: GpuMonitorOptions): GpuMonitor | null {
    const program = findExecutable('nvidia-smi', env) ?? findExecutable('/usr/lib/wsl/lib/nvidia-smi', env);
    const card = cardOf(index, env);
    if (!driverPresent() || program === undefined || card === null) return null;
    return GpuMonitor.of(program, card, { name, env, seconds });
  }

  /** @internal As `start`, of a program that is known to be there. */
  static of(
    program: string,
    card: string,
    { name, env, seconds }: Required<Omit<GpuMonitorOptions, 'index'>>,
  ): GpuMonitor {
    const query = [
      `--query-gpu=${FIELDS}`,
      '--format=csv,noheader,nounits',
      `--id=${card}`,
      `--loop=${seconds}`,
    ];
    return new GpuMonitor(spawn(program, query, { stdio: ['ignore', 'pipe', 'ignore'], env }), name);
  }

  /** Mean utilisation and most memory over the samples since the last call; null when there were none. */
  collect(): GpuSample | null {
    const { samples } = this;
    this.samples = [];
    if (samples.length === 0) return null;
    const busy = samples.flatMap(({ utilization }) => utilization ?? []);
    const memory = samples.flatMap(({ memoryUsed }) => memoryUsed ?? []);
    return {
      utilization: busy.length === 0 ? null : busy.reduce((sum, part) => sum + part, 0) / busy.length,
      memoryUsed: memory.length === 0 ? null : Math.max(...memory),
    };
  }

  stop(): void {
    this.latest = null;
    this.child.kill();
  }

  private read(text: string, name: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const sample = parseGpuSample(line, name);
      if (sample === null) continue;
      this.latest = sample;
      this.samples.push(sample);
    }
  }
}

/**
 * How nvidia-smi is to be asked for the card with a number of CUDA's: the entry of CUDA_VISIBLE_DEVICES, or the number
 * itself. null for an entry that it does not understand, such as a MIG slice.
 */
export function cardOf(index: number, env: NodeJS.ProcessEnv): string | null {
  const visible = env.CUDA_VISIBLE_DEVICES;
  const card = visible === undefined ? String(index) : (visible.split(',')[index]?.trim() ?? '');
  return /^(\d+|GPU-[\da-f-]+)$/i.test(card) ? card : null;
}

/** A line of `name, utilisation in percent, MiB used`; null for anything else, and for a card of another name. */
export function parseGpuSample(line: string, name: string): GpuSample | null {
  const match = /^(.+), ([^,]+), ([^,]+)$/.exec(line.trim());
  if (match?.[1] !== name) return null;
  // `[N/A]` and `[Not Supported]` stand for numbers that the driver does not tell.
  const number = (text = '') => (/^\d+$/.test(text) ? Number(text) : null);
  const [percent, mebibytes] = [number(match[2]), number(match[3])];
  return {
    utilization: percent === null ? null : percent / 100,
    memoryUsed: mebibytes === null ? null : mebibytes * MIB,
  };
}
