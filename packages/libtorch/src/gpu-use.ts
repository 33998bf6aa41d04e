import { type Gpu, type Nvidia, parseNvidia } from './nvidia.ts';
import { LINES } from './pins.ts';
import { capabilityNumber, driverRuns } from './plan-install.ts';
import type { MachineProbe } from './probe.ts';
import { majorMinor } from './version.ts';

/** A CUDA library that `libtorch_cuda` wants and the loader does not find. */
export interface AbsentLibrary {
  /** `libcublas.so.13` */
  name: string;
  /** The same library in another major version, where one is there: `libcublas.so.12`. */
  instead: string | null;
}

/** Why LibTorch cannot compute on a card; null when it can. The first that applies, in this order. */
export type GpuObstacle =
  | 'cpu build'
  | 'driver'
  | 'kernels'
  | 'libraries'
  | 'hidden'
  | 'exclusive'
  | 'refused'
  | null;

export interface GpuUse extends Gpu {
  obstacle: GpuObstacle;
  /** Whether others use it so much that training will feel it. */
  held: boolean;
}

export interface GpuFacts extends Nvidia {
  gpus: GpuUse[];
  absent: AbsentLibrary[];
  /** CUDA of the LibTorch in force, or of the one that setup would install; null for a CPU build. */
  wanted: string | null;
}

const HELD_SHARE = 0.25;

/** By memory alone: inside containers the driver does not name the processes of others. */
function isHeld(gpu: Gpu): boolean {
  return gpu.memory > 0 && gpu.memoryUsed / gpu.memory >= HELD_SHARE;
}

/**
 * Judges every card of a probe: whether the LibTorch that was found (or would be installed) can compute on
 * it.
 */
export function judgeGpus(probe: MachineProbe): GpuFacts {
  const nvidia = parseNvidia(probe.nvidia);
  const { libtorch } = probe.discovery;
  const absent = probe.cuda ? absentLibraries(probe.cuda.ldd, probe.cuda.beside) : [];
  const wanted = libtorch
    ? libtorch.cuda
    : (LINES.find(({ cuda }) => driverRuns(nvidia.cuda ?? '0.0', cuda)) ?? LINES[0]).cuda;
  const obstacle = (gpu: Gpu): GpuObstacle => {
    if (wanted === null || (libtorch && !probe.cuda)) return 'cpu build';
    if (nvidia.cuda === null || !driverRuns(nvidia.cuda, wanted)) return 'driver';
    if (!hasKernels(gpu, probe.cuda?.architectures ?? null, wanted)) return 'kernels';
    if (absent.length > 0) return 'libraries';
    if (!gpu.visible) return 'hidden';
    if (gpu.exclusive && (gpu.processes.length > 0 || isHeld(gpu))) return 'exclusive';
    const { load } = probe.addon;
    return load && 'report' in load && load.report.cudaDevices === 0 ? 'refused' : null;
  };
  const gpus = nvidia.gpus.map((gpu) => ({
    ...gpu,
    obstacle: obstacle(gpu),
    held: isHeld(gpu),
  }));
  return { ...nvidia, gpus, absent, wanted };
}

// Smallest capability of a CUDA version's builds, for builds that do not list their architectures.
const FIRST_CAPABILITY: [cuda: number, capability: number][] = [
  [13, 7.5],
  [12.8, 7.0],
  [0, 5.0],
];

function hasKernels({ capability }: Gpu, architectures: string | null, cuda: string): boolean {
  if (!capability) return false;
  if (architectures === null) {
    const [major, minor] = majorMinor(cuda) ?? [0, 0];
    const first = FIRST_CAPABILITY.find(([since]) => major + minor / 10 >= since);
    return capabilityNumber(capability) >= (first?.[1] ?? 0);
  }
  // Machine code runs on later minor capabilities of its major; PTX is compiled for anything later.
  return parseArchitectures(architectures).some(({ kind, major, minor }) =>
    kind === 'sm'
      ? major === capability[0] && minor <= capability[1]
      : capabilityNumber([major, minor]) <= capabilityNumber(capability),
  );
}

/** Reads `sm_75 sm_120 compute_120`: the last digit is the minor number. */
export function parseArchitectures(text: string): { kind: string; major: number; minor: number }[] {
  return [...text.matchAll(/(sm|compute)_(\d+)(\d)/g)].map(([, kind = '', major, minor]) => ({
    kind,
    major: Number(major),
    minor: Number(minor),
  }));
}

/** The libraries that ldd did not find, each with what lies there under another version. */
export function absentLibraries(ldd: string, beside: string[]): AbsentLibrary[] {
  return [...ldd.matchAll(/^\s*(\S+) => not found/gm)].map(([, name = '']) => {
    const stem = name.replace(/\.so.*$/, '.so');
    return { name, instead: beside.find((other) => other.startsWith(`${stem}.`) && other !== name) ?? null };
  });
}
