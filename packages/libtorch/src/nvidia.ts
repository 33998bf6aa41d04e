import { spawnSync } from 'node:child_process';
import { driverPresent } from './driver.ts';
import { findExecutable } from './executables.ts';

/** A command that was run, and what it said. */
export interface Recorded {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** What the NVIDIA driver says, as raw text. */
export interface NvidiaProbe {
  /** Whether the driver's device node, kernel report or WSL library is there. */
  driver: boolean;
  /** `nvidia-smi --query-gpu=` {@link GPU_FIELDS}; null when there is no nvidia-smi. */
  gpus: Recorded | null;
  /** Plain `nvidia-smi`: its header names the newest CUDA that the driver supports. */
  overview: Recorded | null;
  /** `nvidia-smi --query-compute-apps=` {@link APP_FIELDS}. */
  apps: Recorded | null;
  /** CUDA_VISIBLE_DEVICES, null when unset. */
  visible: string | null;
}

/** A process that computes on a GPU. `bytes` is null where the driver does not tell (containers, WSL). */
export interface GpuProcess {
  pid: number;
  name: string;
  bytes: number | null;
}

export interface Gpu {
  index: number;
  uuid: string;
  name: string;
  /** Compute capability; null where the driver is too old to tell. */
  capability: [number, number] | null;
  /** Bytes. */
  memory: number;
  memoryUsed: number;
  driver: string;
  exclusive: boolean;
  /** Whether CUDA_VISIBLE_DEVICES leaves it visible. */
  visible: boolean;
  processes: GpuProcess[];
}

/** The driver and its cards, parsed. */
export interface Nvidia {
  gpus: Gpu[];
  /** Newest CUDA version that the driver supports, `12.4`. */
  cuda: string | null;
  /** Why there is no answer although a driver is loaded. */
  failure: string | null;
}

export const GPU_FIELDS = 'index,uuid,name,memory.total,memory.used,driver_version,compute_mode,compute_cap';
export const APP_FIELDS = 'gpu_uuid,pid,process_name,used_memory';
const MIB = 1 << 20;

/** Asks the driver, through nvidia-smi, about the cards of this machine. */
export function probeNvidia(env: NodeJS.ProcessEnv = process.env): NvidiaProbe {
  const driver = driverPresent();
  const visible = env.CUDA_VISIBLE_DEVICES ?? null;
  const program = findExecutable('nvidia-smi', env) ?? findExecutable('/usr/lib/wsl/lib/nvidia-smi', env);
  if (!driver || !program) return { driver, gpus: null, overview: null, apps: null, visible };
  const ask = (...args: string[]): Recorded => {
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      env,
      timeout: 30_000,
    });
    return { status, stdout: stdout ?? '', stderr: error ? error.message : stderr };
  };
  const query = (what: string) => ask(what, '--format=csv,noheader,nounits');
  let gpus = query(`--query-gpu=${GPU_FIELDS}`);
  // Drivers before 510 do not know the last field and then answer nothing at all.
  if (gpus.status !== 0) gpus = query(`--query-gpu=${GPU_FIELDS.replace(',compute_cap', '')}`);
  return { driver, gpus, overview: ask(), apps: query(`--query-compute-apps=${APP_FIELDS}`), visible };
}

// The newest CUDA of a driver branch, for drivers whose overview does not say.
const CUDA_OF_DRIVER: [driver: number, cuda: string][] = [
  [580, '13.0'],
  [525, '12.0'],
  [450, '11.0'],
  [410, '10.0'],
];

/** Parses what {@link probeNvidia} recorded. */
export function parseNvidia(probe: NvidiaProbe): Nvidia {
  const none = (failure: string | null): Nvidia => ({ gpus: [], cuda: null, failure });
  if (!probe.driver) return none(null);
  if (!probe.gpus) return none('nvidia-smi is not installed');
  if (probe.gpus.status !== 0) return none(firstLine(probe.gpus.stdout) || firstLine(probe.gpus.stderr));
  const processes = parseApps(probe.apps);
  const gpus = rows(probe.gpus.stdout).map((row): Gpu => {
    const [index = '', uuid = '', name = '', total, used, driver = '', mode = '', capability] = row;
    return {
      index: Number(index),
      uuid,
      name,
      capability: parseCapability(capability),
      memory: mebibytes(total) ?? 0,
      memoryUsed: mebibytes(used) ?? 0,
      driver,
      exclusive: mode.startsWith('Exclusive'),
      visible: isVisible(Number(index), uuid, probe.visible),
      processes: processes
        .filter((process) => process.uuid === uuid)
        .map(({ uuid: _, ...process }) => process),
    };
  });
  const said = /CUDA(?: UMD)? Version\s*:\s*(\d+\.\d+)/.exec(probe.overview?.stdout ?? '')?.[1];
  const branch = Number.parseInt(gpus[0]?.driver ?? '', 10);
  const cuda = said ?? CUDA_OF_DRIVER.find(([driver]) => branch >= driver)?.[1] ?? null;
  return { gpus, cuda, failure: null };
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0]?.trim() ?? '';
}

function rows(csv: string): string[][] {
  const lines = csv.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => line.split(',').map((field) => field.trim()));
}

function mebibytes(text: string | undefined): number | null {
  // `[N/A]` and `[Not Supported]` stand for numbers that the driver does not tell.
  return text !== undefined && /^\d+$/.test(text) ? Number(text) * MIB : null;
}

function parseCapability(text: string | undefined): [number, number] | null {
  const match = /^(\d+)\.(\d+)$/.exec(text ?? '');
  return match ? [Number(match[1]), Number(match[2])] : null;
}

function parseApps(apps: Recorded | null): (GpuProcess & { uuid: string })[] {
  if (apps?.status !== 0) return [];
  return rows(apps.stdout).flatMap((row) => {
    const [uuid = '', pid = ''] = row;
    if (!/^\d+$/.test(pid)) return [];
    // A process name may hold commas; what surrounds it does not.
    return [{ uuid, pid: Number(pid), name: row.slice(2, -1).join(','), bytes: mebibytes(row.at(-1)) }];
  });
}

function isVisible(index: number, uuid: string, visible: string | null): boolean {
  if (visible === null) return true;
  const names = visible.split(',').map((name) => name.trim());
  // CUDA stops reading at the first entry that it does not understand.
  const end = names.findIndex((name) => !/^\d+$|^(GPU|MIG)-/.test(name));
  const read = end < 0 ? names : names.slice(0, end);
  return read.some((name) => name === String(index) || (name.startsWith('GPU-') && uuid.startsWith(name)));
}
