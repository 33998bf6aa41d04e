import path from 'node:path';
import type { AbsentLibrary, GpuFacts, GpuObstacle, GpuUse } from './gpu-use.ts';
import { readableBytes } from './install-failure.ts';
import { LINES, type Line } from './pins.ts';
import { lineFor, OLDEST } from './plan-install.ts';
import { PLATFORM_REQUIRED } from './platform.ts';
import type { MachineProbe } from './probe.ts';
import { majorMinor, SUPPORTED } from './version.ts';

/** Something that keeps this machine from its best, what is used meanwhile, and the cure. */
export interface Problem {
  code: string;
  message: string;
  fix: string;
}

/** What the checks below look at: the probe, and the cards judged by it. */
export interface Findings {
  probe: MachineProbe;
  gpus: GpuFacts;
}

type Check = (findings: Findings) => Problem[];

const MEANWHILE_CPU = 'Meanwhile the CPU is used.';
const FIRST_NODE = 20;

/** Every check of the doctor, in the order of its report: what stops everything first. */
export const CHECKS: Check[] = [
  platform,
  node,
  libtorchFound,
  compiler,
  python,
  loads,
  driverAnswers,
  cpuBuild,
  driverTooOld,
  noKernels,
  cudaLibraries,
  hidden,
  held,
  refused,
];

function platform({ probe: { platform: here } }: Findings): Problem[] {
  if (here.os === 'linux' && here.arch === 'x64' && !here.musl) return [];
  const code = here.os === 'linux' && here.musl ? 'MUSL_UNSUPPORTED' : 'PLATFORM_UNSUPPORTED';
  const found = here.musl
    ? `${here.os} ${here.arch} with musl, for which there is no LibTorch`
    : `${here.os} ${here.arch}`;
  const message = `Mezzo runs on ${PLATFORM_REQUIRED}; this is ${found}. Meanwhile nothing can be trained.`;
  return [
    { code, message, fix: 'run Mezzo on such a system, or in a container of one (debian:12, ubuntu:24.04)' },
  ];
}

function node({ probe }: Findings): Problem[] {
  if (Number.parseInt(probe.node.version.slice(1), 10) >= FIRST_NODE) return [];
  const message = `Node ${probe.node.version} is older than Mezzo supports (${FIRST_NODE} and newer).`;
  return [{ code: 'NODE_TOO_OLD', message, fix: `install Node ${FIRST_NODE}, 22 or 24` }];
}

function libtorchFound({ probe: { discovery } }: Findings): Problem[] {
  if (discovery.libtorch) return [];
  const bound = discovery.candidates.some(({ origin }) => origin === 'LIBTORCH');
  const wrong = discovery.candidates.filter(({ version }) => version !== undefined);
  const fix = bound ? 'set LIBTORCH to another folder, or unset it and run mezzo setup' : 'mezzo setup';
  const blocked = 'Meanwhile nothing can be trained.';
  if (wrong.length > 0) {
    const found = wrong.map(({ version, where }) => `LibTorch ${version} (${where})`).join(', ');
    const message = `Found ${found}; Mezzo requires ${SUPPORTED.first} to ${SUPPORTED.last}. ${blocked}`;
    return [{ code: 'LIBTORCH_VERSION', message, fix }];
  }
  const looked = discovery.candidates.map(({ reason }) => reason).join('; ');
  return [{ code: 'LIBTORCH_MISSING', message: `There is no LibTorch: ${looked}. ${blocked}`, fix }];
}

function compiler({ probe }: Findings): Problem[] {
  if (probe.compiler || probe.addon.path) return [];
  const message =
    'There is no C++ compiler, and the addon is not built yet. Meanwhile nothing can be trained.';
  return [{ code: 'COMPILER_MISSING', message, fix: 'apt-get install g++, or set CXX to a C++20 compiler' }];
}

/** Python matters only for installing LibTorch. */
function python({ probe: { python: found, discovery } }: Findings): Problem[] {
  if (discovery.libtorch) return [];
  const needed = 'which mezzo setup installs LibTorch with.';
  if (found.version === null) {
    const fix = 'apt-get install python3 python3-pip, or set MEZZO_PYTHON';
    return [{ code: 'PYTHON_MISSING', message: `There is no ${found.command}, ${needed}`, fix }];
  }
  if (found.pip !== null) return [];
  const message = `${found.version} (${found.command}) has no pip, ${needed}`;
  return [
    {
      code: 'PIP_MISSING',
      message,
      fix: 'apt-get install python3-pip, or set MEZZO_PYTHON to a Python with pip',
    },
  ];
}

function loads({ probe: { addon } }: Findings): Problem[] {
  if (!addon.load || 'report' in addon.load) return [];
  const { code, message, hint } = addon.load.failure;
  return [
    { code, message: `${message}\nMeanwhile nothing can be trained.`, fix: hint ?? 'mezzo setup --force' },
  ];
}

function driverAnswers({ probe: { nvidia }, gpus }: Findings): Problem[] {
  if (gpus.failure === null) return [];
  const message = `An NVIDIA driver is loaded but does not answer: ${gpus.failure}. ${MEANWHILE_CPU}`;
  const fix = nvidia.gpus
    ? 'reboot, or install the NVIDIA driver anew: its kernel module and its libraries must be of one version'
    : 'install nvidia-smi (package nvidia-utils of the driver; in containers the NVIDIA container toolkit)';
  return [{ code: 'DRIVER_NOT_ANSWERING', message, fix }];
}

function withObstacle({ gpus }: Findings, obstacle: GpuObstacle): GpuUse[] {
  return gpus.gpus.filter((gpu) => gpu.obstacle === obstacle);
}

function names(gpus: GpuUse[]): string {
  return [...new Set(gpus.map(({ name }) => name))].join(', ');
}

/** `LibTorch 2.15.0+cu132`, or the one that setup would install. */
function build({ probe: { discovery } }: Findings): string {
  return `LibTorch ${discovery.libtorch?.version ?? LINES[0].version}`;
}

/** How to come to use Mezzo's own copy of a line: what the user chose otherwise comes first in the search. */
function useLine({ probe }: Findings, line: Line): string {
  const copy = path.join(probe.home, 'libtorch', `${line.version}-cuda`, 'torch');
  const origin = probe.discovery.libtorch?.origin ?? 'mezzo';
  return origin === 'mezzo' ? 'mezzo setup' : `mezzo setup and LIBTORCH=${copy}`;
}

function cpuBuild(findings: Findings): Problem[] {
  const cards = withObstacle(findings, 'cpu build');
  if (cards.length === 0) return [];
  const { cuda } = findings.gpus;
  const line = cards.map((card) => lineFor(card, cuda ?? '0.0')).find((found) => found !== undefined);
  const message = `${build(findings)} is a CPU build, so ${names(cards)} is not used. ${MEANWHILE_CPU}`;
  const fix = line
    ? `${useLine(findings, line)}, which installs LibTorch ${line.version} with CUDA`
    : `a card of compute capability ${OLDEST.capability.toFixed(1)} or newer and driver ${OLDEST.driver} or newer`;
  return [{ code: 'LIBTORCH_CPU_BUILD', message, fix }];
}

function driverTooOld(findings: Findings): Problem[] {
  const cards = withObstacle(findings, 'driver');
  const first = cards[0];
  if (!first) return [];
  const { cuda, wanted } = findings.gpus;
  const line =
    LINES.find((known) => majorMinor(known.cuda)?.[0] === majorMinor(wanted ?? '')?.[0]) ?? LINES[0];
  const knows = cuda === null ? 'tells no CUDA version' : `supports CUDA ${cuda} at most`;
  const needs = `${build(findings)} is built with CUDA ${wanted}, which needs driver ${line.driver} or newer`;
  const message = `NVIDIA driver ${first.driver} ${knows}; ${needs}. ${MEANWHILE_CPU}`;
  const older = lineFor(first, cuda ?? '0.0');
  const fix = older
    ? `${useLine(findings, older)}, which installs LibTorch ${older.version} for CUDA ${older.cuda}; or install NVIDIA driver ${line.driver} or newer`
    : `install NVIDIA driver ${line.driver} or newer (${OLDEST.driver} is enough for LibTorch ${OLDEST.version}), then mezzo setup`;
  return [{ code: 'DRIVER_TOO_OLD', message, fix }];
}

function noKernels(findings: Findings): Problem[] {
  const { architectures } = findings.probe.cuda ?? { architectures: null };
  const { cuda } = findings.gpus;
  const others = findings.gpus.gpus.some((gpu) => gpu.obstacle === null);
  return withObstacle(findings, 'kernels').map((card) => {
    const capability = card.capability?.join('.') ?? 'unknown';
    const has = architectures === null ? '' : ` (it has ${architectures.trim()})`;
    const meanwhile = others ? 'Meanwhile the other GPU is used.' : MEANWHILE_CPU;
    const message = `${build(findings)} has no kernels for ${card.name}, compute capability ${capability}${has}. ${meanwhile}`;
    const line = lineFor(card, cuda ?? '0.0');
    const fix = line
      ? `${useLine(findings, line)}, which installs LibTorch ${line.version}, the newest with kernels for it`
      : `use a card of compute capability ${OLDEST.capability.toFixed(1)} or newer (V100, T4, RTX 20 and later), or set LIBTORCH to a LibTorch ${SUPPORTED.first} to ${SUPPORTED.last} built for this one`;
    return { code: 'GPU_NO_KERNELS', message, fix };
  });
}

function cudaLibraries(findings: Findings): Problem[] {
  const cards = withObstacle(findings, 'libraries');
  if (cards.length === 0) return [];
  const { absent, cuda } = findings.gpus;
  const { libtorch } = findings.probe.discovery;
  const wrong = absent.filter(({ instead }) => instead !== null);
  const line = lineFor(cards[0] as GpuUse, cuda ?? '0.0') ?? LINES[0];
  const version = libtorch?.version.replace(/\+.*$/, '') ?? line.version;
  const own = `${useLine(findings, line)}, which installs LibTorch ${line.version} with its CUDA libraries`;
  const fix =
    libtorch?.origin === 'python'
      ? `python3 -m pip install torch==${version} (with its dependencies), or ${own}`
      : own;
  if (wrong.length === 0) {
    const message = `${build(findings)} needs CUDA libraries that are not there: ${list(absent)}. ${MEANWHILE_CPU}`;
    return [{ code: 'CUDA_LIBRARIES_MISSING', message, fix }];
  }
  const pairs = wrong.map(({ name, instead }) => `${name} (there is ${instead})`).join(', ');
  const message = `${build(findings)} needs CUDA libraries of another major version: ${pairs}. ${MEANWHILE_CPU}`;
  return [{ code: 'CUDA_LIBRARIES_VERSION', message, fix }];
}

function list(absent: AbsentLibrary[]): string {
  const shown = absent.slice(0, 4).map(({ name }) => name);
  const more = absent.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function hidden(findings: Findings): Problem[] {
  const cards = withObstacle(findings, 'hidden');
  const visible = findings.gpus.gpus.some((gpu) => gpu.visible);
  if (cards.length === 0 || visible) return [];
  const setting = `CUDA_VISIBLE_DEVICES=${findings.probe.nvidia.visible}`;
  const message = `${setting} hides every GPU (${names(cards)}). ${MEANWHILE_CPU}`;
  return [{ code: 'GPU_HIDDEN', message, fix: 'unset CUDA_VISIBLE_DEVICES' }];
}

function held(findings: Findings): Problem[] {
  const { gpus } = findings.gpus;
  const cards = gpus.filter((gpu) => gpu.obstacle === 'exclusive' || (gpu.obstacle === null && gpu.held));
  return cards.map((card) => {
    const holders = card.processes.map(({ name, pid, bytes }) => {
      const size = bytes === null ? '' : `, ${readableBytes(bytes)}`;
      return `${name} (process ${pid}${size})`;
    });
    const by = holders.length > 0 ? holders.join(', ') : 'processes that the driver does not name here';
    const free = gpus.find((gpu) => gpu.obstacle === null && !gpu.held);
    const room = `${readableBytes(card.memory - card.memoryUsed)} of ${readableBytes(card.memory)} are free`;
    const share = card.obstacle === 'exclusive' ? 'it takes one process only (exclusive mode)' : room;
    const instead = card.obstacle === 'exclusive' ? MEANWHILE_CPU : 'Meanwhile it is shared.';
    const meanwhile = free ? `Meanwhile GPU ${free.index} is used.` : instead;
    const message = `GPU ${card.index} (${card.name}) is held by ${by}; ${share}. ${meanwhile}`;
    return {
      code: 'GPU_BUSY',
      message,
      fix: 'wait for these processes or end them, or train with device=cpu',
    };
  });
}

function refused(findings: Findings): Problem[] {
  const cards = withObstacle(findings, 'refused');
  const { load } = findings.probe.addon;
  if (cards.length === 0 || !load || !('report' in load)) return [];
  const why = load.report.cudaRefused ?? 'the CUDA runtime finds no device';
  const message = `${build(findings)} does not come to use ${names(cards)}: ${why}. ${MEANWHILE_CPU}`;
  const fix =
    'reboot or reload the NVIDIA driver (nvidia-smi must work in the same shell); in containers start them with --gpus all';
  return [{ code: 'CUDA_UNAVAILABLE', message, fix }];
}
