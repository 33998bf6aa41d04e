import type { Variant } from './installs.ts';
import type { Gpu, Nvidia } from './nvidia.ts';
import { LINES, type Line } from './pins.ts';
import { compareVersions, majorMinor } from './version.ts';

/** Which LibTorch fits a machine, and why. */
export interface Recommendation {
  version: string;
  variant: Variant;
  reason: string;
}

/**
 * Whether a driver that supports CUDA up to `driverCuda` runs a build for `cuda`: within a major version it
 * does.
 */
export function driverRuns(driverCuda: string, cuda: string): boolean {
  return (majorMinor(driverCuda)?.[0] ?? 0) >= (majorMinor(cuda)?.[0] ?? 0);
}

/** Compute capability as a number that orders: 7.5 for [7, 5]. */
export function capabilityNumber([major, minor]: readonly [number, number]): number {
  return major + minor / 10;
}

/**
 * The set to install: for the CUDA cards that some supported LibTorch can drive, the newest line that drives
 * all of them; the CPU set of the default line where there is none.
 */
export function recommendInstall({ gpus, cuda }: Nvidia): Recommendation {
  const cpu = (reason: string): Recommendation => ({ version: LINES[0].version, variant: 'cpu', reason });
  const first = gpus[0];
  if (!first || cuda === null) return cpu('no NVIDIA GPU that answers');
  const runnable = LINES.filter((line) => driverRuns(cuda, line.cuda));
  if (runnable.length === 0) return cpu(`NVIDIA driver ${first.driver} supports CUDA ${cuda} at most`);
  const served = gpus.filter((gpu) => runnable.some((line) => serves(line, gpu)));
  const line = runnable.find((candidate) => served.every((gpu) => serves(candidate, gpu)));
  if (served.length === 0 || !line) return cpu(`no supported LibTorch has kernels for ${first.name}`);
  const names = [...new Set(served.map(({ name }) => name))].join(', ');
  return {
    version: line.version,
    variant: 'cuda',
    reason: `${names}; driver ${first.driver} (CUDA ${cuda})`,
  };
}

function serves(line: Line, gpu: Gpu): boolean {
  return gpu.capability !== null && capabilityNumber(gpu.capability) >= line.capability;
}

/**
 * The newest pinned line that a driver runs and that has kernels for a card; undefined when there is none.
 */
export function lineFor(gpu: Gpu, driverCuda: string): Line | undefined {
  return LINES.find((line) => driverRuns(driverCuda, line.cuda) && serves(line, gpu));
}

/** The oldest driver and the smallest capability that any pinned line takes. */
export const OLDEST: Line = LINES.reduce((oldest, line) =>
  compareVersions(line.version, oldest.version) < 0 ? line : oldest,
);
