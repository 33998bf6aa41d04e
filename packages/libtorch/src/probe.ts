import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { availableMemory } from './available-memory.ts';
import { findAddon } from './compile.ts';
import { findCompiler } from './compiler.ts';
import { availableCores, thisCpu } from './cpu.ts';
import { type Discovery, discoverLibTorch } from './discover.ts';
import { findExecutable } from './executables.ts';
import { mezzoHome } from './folders.ts';
import { cudaLibrary, type LibTorch } from './libtorch.ts';
import { type NvidiaProbe, probeNvidia } from './nvidia.ts';
import { onMusl } from './platform.ts';
import { pythonCommand } from './python.ts';

/** What LibTorch says of itself and of the CPU once it is loaded. */
export interface LoadReport {
  cpuCapability: string;
  threads: number;
  mkldnn: boolean;
  /** oneDNN's own answers; null where this LibTorch does not have the question. */
  onednnBf16: boolean | null;
  onednnFp16: boolean | null;
  /** Why the CUDA half is not in use; null when it is. */
  cudaRefused: string | null;
  cudaDevices: number;
}

/** Everything that the doctor looks at, as found, in plain JSON. */
export interface MachineProbe {
  platform: { os: string; arch: string; musl: boolean; glibc: string | null };
  node: { version: string; executable: string };
  compiler: { command: string; version: string } | null;
  python: { command: string; version: string | null; pip: string | null };
  discovery: Discovery;
  home: string;
  cpu: { model: string; flags: string[]; maxIsa: string | null; cores: number };
  memory: { total: number; available: number };
  nvidia: NvidiaProbe;
  /**
   * About `libtorch_cuda`; null for a CPU build, and on machines without a driver, where it does not matter.
   */
  cuda: {
    /** What `ldd` says of it. */
    ldd: string;
    /** CUDA libraries that lie in the wheels' folders beside it. */
    beside: string[];
    /** Architectures that it has kernels for, `sm_75 sm_80 …`; null where the build does not say. */
    architectures: string | null;
  } | null;
  /** The compiled addon, and what came of loading it in a process of its own. */
  addon: {
    path: string | null;
    load: { report: LoadReport } | { failure: { code: string; message: string; hint?: string } } | null;
  };
}

export interface ProbeOptions {
  env?: NodeJS.ProcessEnv;
  /** Whether to load the addon, in a process of its own; takes most of the second that a probe takes. */
  load?: boolean;
}

/** Looks at this machine; changes nothing. */
export function probeMachine({ env = process.env, load = true }: ProbeOptions = {}): MachineProbe {
  const discovery = discoverLibTorch(env);
  const nvidia = probeNvidia(env);
  const { model, flags } = thisCpu(env);
  const { libtorch } = discovery;
  const addon = (libtorch && findAddon({ libtorch, env })) ?? null;
  return {
    platform: {
      os: process.platform,
      arch: process.arch,
      musl: onMusl(),
      glibc: firstLine('getconf', ['GNU_LIBC_VERSION'], env),
    },
    node: { version: process.version, executable: process.execPath },
    compiler: probeCompiler(env),
    python: probePython(env),
    discovery,
    home: mezzoHome(env),
    cpu: {
      model,
      flags,
      maxIsa: env.ONEDNN_MAX_CPU_ISA ?? env.DNNL_MAX_CPU_ISA ?? null,
      cores: availableCores(),
    },
    memory: { total: totalmem(), available: availableMemory() },
    nvidia,
    cuda: libtorch && nvidia.driver ? probeCuda(libtorch, env) : null,
    addon: { path: addon, load: addon && load ? probeLoad(env) : null },
  };
}

function firstLine(command: string, args: string[], env: NodeJS.ProcessEnv): string | null {
  const run = spawnSync(command, args, { encoding: 'utf8', env: { ...env, LC_ALL: 'C' }, timeout: 30_000 });
  return run.status === 0 ? (`${run.stdout}${run.stderr}`.trim().split('\n')[0] ?? '') : null;
}

function probeCompiler(env: NodeJS.ProcessEnv): MachineProbe['compiler'] {
  const compiler = findCompiler(env);
  if (!compiler) return null;
  const [program, ...leading] = compiler.command;
  return {
    command: compiler.command.join(' '),
    version: firstLine(program, [...leading, '--version'], env) ?? 'unknown',
  };
}

function probePython(env: NodeJS.ProcessEnv): MachineProbe['python'] {
  const command = pythonCommand(env);
  const program = findExecutable(command, env);
  if (!program) return { command, version: null, pip: null };
  return {
    command,
    version: firstLine(program, ['--version'], env),
    pip: firstLine(program, ['-m', 'pip', '--version'], env),
  };
}

function probeCuda(libtorch: LibTorch, env: NodeJS.ProcessEnv): MachineProbe['cuda'] {
  const library = cudaLibrary(libtorch);
  if (!library) return null;
  const ldd = spawnSync('ldd', [library], { encoding: 'utf8', env, timeout: 60_000 });
  // Wheels keep their CUDA libraries in nvidia/<part>/lib next to torch, archives beside LibTorch's own.
  const parts = path.join(libtorch.path, '../nvidia');
  const folders = existsSync(parts) ? readdirSync(parts).map((part) => path.join(parts, part, 'lib')) : [];
  const beside = [...folders, path.join(libtorch.path, 'lib')]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).filter((name) => /^lib(cu|nv|nccl)[^/]*\.so/.test(name)));
  return { ldd: ldd.stdout ?? '', beside: beside.sort(), architectures: builtFor(libtorch) };
}

/** Wheels carry the list that `torch.cuda.get_arch_list()` gives as text in their Python library. */
function builtFor(libtorch: LibTorch): string | null {
  const file = path.join(libtorch.path, 'lib/libtorch_python.so');
  if (!existsSync(file)) return null;
  const lists =
    readFileSync(file)
      .toString('latin1')
      .match(/(?:\b(?:sm|compute)_\d+a?(?: (?=sm|compute))?){2,}/g) ?? [];
  return lists.sort((a, b) => b.length - a.length)[0] ?? null;
}

function probeLoad(env: NodeJS.ProcessEnv): MachineProbe['addon']['load'] {
  const child = fileURLToPath(new URL('./probe-process.js', import.meta.url));
  const run = spawnSync(process.execPath, [child], { encoding: 'utf8', env, timeout: 120_000 });
  if (run.status === 0) return JSON.parse(run.stdout) as MachineProbe['addon']['load'];
  const ended = run.error?.message ?? run.signal ?? `exit code ${run.status}`;
  return {
    failure: {
      code: 'LIBTORCH_BROKEN',
      message: `Loading LibTorch ended the process (${ended}). ${run.stderr.trim()}`.trim(),
      hint: 'mezzo setup --force',
    },
  };
}
