import { type CompileProgress, compileAddon, findAddon } from './compile.ts';
import { discoverLibTorch, requireLibTorch } from './discover.ts';
import { judgeGpus } from './gpu-use.ts';
import { type InstallPlan, type InstallProgress, installLibTorch, planTarget } from './install.ts';
import type { Variant } from './installs.ts';
import type { LibTorch } from './libtorch.ts';
import { parseNvidia } from './nvidia.ts';
import { recommendInstall } from './plan-install.ts';
import { requirePlatform } from './platform.ts';
import { probeMachine } from './probe.ts';

export interface SetupOptions {
  /** Installs and builds anew what is there already. */
  force?: boolean;
  /** A set other than the one that fits this machine. */
  version?: string;
  variant?: Variant;
  env?: NodeJS.ProcessEnv;
}

/** What setup is about to do, for saying so first. */
export interface SetupPlan {
  /** The LibTorch in use so far. */
  present: LibTorch | undefined;
  /** The set to install, or null when `present` serves this machine. */
  install: (InstallPlan & { reason: string }) | null;
  /** Whether the addon must be compiled. */
  compiles: boolean;
}

export interface SetupHooks {
  onInstall?: (progress: InstallProgress) => void;
  onCompile?: (progress: CompileProgress) => void;
  signal?: AbortSignal;
}

// What an own copy with CUDA cures.
const CURED = ['cpu build', 'driver', 'kernels', 'libraries'];

/**
 * Decides what is missing on this machine; changes nothing.
 * @throws {MezzoError} PLATFORM_UNSUPPORTED; LIBTORCH_MISSING or LIBTORCH_VERSION where `LIBTORCH` names a
 * folder that cannot be used, because nothing that setup installs would be looked at.
 */
export function planSetup({
  force = false,
  version,
  variant,
  env = process.env,
}: SetupOptions = {}): SetupPlan {
  requirePlatform();
  const probe = probeMachine({ env, load: false });
  if (env.LIBTORCH) requireLibTorch(probe.discovery);
  const fit = recommendInstall(parseNvidia(probe.nvidia));
  const present = probe.discovery.libtorch;
  const named = version !== undefined || variant !== undefined;
  const unserved =
    fit.variant === 'cuda' &&
    judgeGpus(probe).gpus.some(({ obstacle }) => obstacle && CURED.includes(obstacle));
  const needed = force || named || !present || unserved;
  const target = planTarget({ version: version ?? fit.version, variant: variant ?? fit.variant, env });
  return {
    present,
    install: needed ? { ...target, reason: named ? 'as asked for' : fit.reason } : null,
    compiles: needed || !present || findAddon({ libtorch: present, env }) === undefined,
  };
}

/**
 * Installs what a plan says and builds the addon for the LibTorch that is in force afterwards.
 * @throws {MezzoError} the codes of `installLibTorch` and `compileAddon`
 */
export async function setup(
  plan: SetupPlan,
  { force = false, env = process.env }: SetupOptions = {},
  { onInstall, onCompile, signal }: SetupHooks = {},
): Promise<{ libtorch: LibTorch; addon: string }> {
  if (plan.install) {
    const { version, variant } = plan.install.pins;
    await installLibTorch({ version, variant, env, force, onProgress: onInstall, signal });
  }
  const libtorch = requireLibTorch(discoverLibTorch(env));
  return { libtorch, addon: await compileAddon({ libtorch, env, force, onProgress: onCompile }) };
}
