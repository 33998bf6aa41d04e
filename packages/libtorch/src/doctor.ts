import { type AmpDefault, ampDefault } from './amp-default.ts';
import { cpuPrecision } from './cpu.ts';
import type { Candidate } from './discover.ts';
import { type GpuObstacle, type GpuUse, judgeGpus } from './gpu-use.ts';
import type { Origin } from './libtorch.ts';
import type { LoadReport, MachineProbe } from './probe.ts';
import { CHECKS, type Problem } from './problems.ts';

/** A card in the doctor's report; sizes in bytes. */
export interface GpuReport {
  name: string;
  /** `9.0`; null where the driver is too old to tell. */
  capability: string | null;
  memory: number;
  driver: string;
  memoryUsed: number;
  usable: boolean;
  obstacle: GpuObstacle;
}

/** What `mezzo doctor --json` prints. */
export interface DoctorReport {
  /** Whether there is no problem at all. */
  ok: boolean;
  node: string;
  libtorch: { version: string; origin: Origin; path: string; cuda: string | null; reason: string } | null;
  cpu: {
    cores: number;
    /** Native instructions for the type, as oneDNN will use them. */
    bf16: boolean;
    fp16: boolean;
    model: string;
    /** The instruction sets behind `bf16`, or why there are none. */
    because: string;
    /**
     * LibTorch's answers, null until it is set up: vector code path (`AVX512`), threads, oneDNN's own view.
     */
    capability: string | null;
    threads: number | null;
    onednnBf16: boolean | null;
    onednnFp16: boolean | null;
  };
  gpus: GpuReport[];
  /** What training uses by default: `cuda:0` or `cpu`. */
  device: string;
  amp: { default: AmpDefault['precision']; reason: string };
  problems: Problem[];
  platform: MachineProbe['platform'];
  compiler: MachineProbe['compiler'];
  python: MachineProbe['python'];
  /** The compiled addon, null until it is built. */
  addon: string | null;
  /** Every place where LibTorch was looked for, in order. */
  candidates: Candidate[];
  home: string;
  memory: MachineProbe['memory'];
  /** Newest CUDA version that the driver supports. */
  driverCuda: string | null;
}

/** Turns what was found on a machine into the doctor's report. Pure: the same probe gives the same report. */
export function diagnose(probe: MachineProbe): DoctorReport {
  const facts = judgeGpus(probe);
  const problems = CHECKS.flatMap((check) => check({ probe, gpus: facts }));
  const { libtorch, candidates } = probe.discovery;
  const { load } = probe.addon;
  const report: LoadReport | null = load && 'report' in load ? load.report : null;
  const cpu = cpuPrecision(probe.cpu.flags, probe.cpu.maxIsa ?? undefined);
  // oneDNN has the last word: a build without it, or an emulated CPU, computes in fp32 whatever the flags
  // say.
  const onednn = report?.mkldnn !== false && report?.onednnBf16 !== false;
  const bf16 = cpu.bf16 && onednn;
  const because = onednn || !cpu.bf16 ? cpu.because : 'oneDNN does not support it here';
  const card = pickCard(facts.gpus);
  const amp = card?.capability
    ? ampDefault({ type: 'cuda', capability: card.capability })
    : ampDefault({ type: 'cpu', bf16, because });
  const chosen = candidates.find(({ verdict }) => verdict === 'chosen');
  return {
    ok: problems.length === 0,
    node: probe.node.version,
    libtorch: libtorch ? { ...pick(libtorch), reason: chosen?.reason ?? '' } : null,
    cpu: {
      cores: probe.cpu.cores,
      bf16,
      fp16: cpu.fp16 && report?.onednnFp16 !== false,
      model: probe.cpu.model,
      because,
      capability: report?.cpuCapability ?? null,
      threads: report?.threads ?? null,
      onednnBf16: report?.onednnBf16 ?? null,
      onednnFp16: report?.onednnFp16 ?? null,
    },
    gpus: facts.gpus.map((gpu) => ({
      name: gpu.name,
      capability: gpu.capability?.join('.') ?? null,
      memory: gpu.memory,
      driver: gpu.driver,
      memoryUsed: gpu.memoryUsed,
      usable: gpu.obstacle === null,
      obstacle: gpu.obstacle,
    })),
    device: card ? `cuda:${facts.gpus.filter(({ visible }) => visible).indexOf(card)}` : 'cpu',
    amp: { default: amp.precision, reason: amp.reason },
    problems,
    platform: probe.platform,
    compiler: probe.compiler,
    python: probe.python,
    addon: probe.addon.path,
    candidates,
    home: probe.home,
    memory: probe.memory,
    driverCuda: facts.cuda,
  };
}

function pick({ version, origin, path, cuda }: NonNullable<MachineProbe['discovery']['libtorch']>) {
  return { version, origin, path, cuda };
}

/** The first card that can be used and is free; else the first that can be used. */
function pickCard(gpus: GpuUse[]): GpuUse | undefined {
  const usable = gpus.filter((gpu) => gpu.obstacle === null);
  return usable.find((gpu) => !gpu.held) ?? usable[0];
}
