import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { readLevels } from './control-group.ts';

/** What the CPU can multiply in 16 bits by instructions of its own. */
export interface CpuPrecision {
  bf16: boolean;
  fp16: boolean;
  /** The instruction sets that say so, or the reason why they do not count: `amx_bf16, avx512_bf16`. */
  because: string;
}

const BF16_FLAGS = ['amx_bf16', 'avx512_bf16'];
const FP16_FLAGS = ['amx_fp16', 'avx512_fp16'];

// Values of oneDNN's ONEDNN_MAX_CPU_ISA that keep it from these instructions.
const BELOW_BF16 = ['SSE41', 'AVX', 'AVX2', 'AVX2_VNNI', 'AVX2_VNNI_2', 'AVX512_CORE', 'AVX512_CORE_VNNI'];
const BELOW_FP16 = [...BELOW_BF16, 'AVX512_CORE_BF16'];

/** The text of `/proc/cpuinfo` that counts: model name and instruction-set flags. */
export function parseCpuInfo(text: string): { model: string; flags: string[] } {
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
  return { model: field('model name') || 'unknown', flags: field('flags').split(' ').filter(Boolean) };
}

/**
 * Whether oneDNN will compute in bf16 and fp16 with native instructions, from CPU flags. `maxIsa` is the
 * user's ONEDNN_MAX_CPU_ISA.
 */
export function cpuPrecision(flags: readonly string[], maxIsa?: string): CpuPrecision {
  const limit = maxIsa?.trim().toUpperCase() ?? '';
  const have = (wanted: string[], below: string[]) =>
    below.includes(limit) ? [] : wanted.filter((flag) => flags.includes(flag));
  const [bf16, fp16] = [have(BF16_FLAGS, BELOW_BF16), have(FP16_FLAGS, BELOW_FP16)];
  const hidden = bf16.length === 0 && BF16_FLAGS.some((flag) => flags.includes(flag));
  const because = hidden
    ? `ONEDNN_MAX_CPU_ISA=${maxIsa}`
    : bf16.join(', ') || `neither ${BF16_FLAGS.join(' nor ')}`;
  return { bf16: bf16.length > 0, fp16: fp16.length > 0, because };
}

/** {@link cpuPrecision} of this machine. Loads nothing. */
export function thisCpu(
  env: NodeJS.ProcessEnv = process.env,
): CpuPrecision & { model: string; flags: string[] } {
  const file = '/proc/cpuinfo';
  const { model, flags } = parseCpuInfo(existsSync(file) ? readFileSync(file, 'utf8') : '');
  return { model, flags, ...cpuPrecision(flags, env.ONEDNN_MAX_CPU_ISA ?? env.DNNL_MAX_CPU_ISA) };
}

/**
 * Cores that this process may use: its CPU affinity, further limited by the quota of its control group. At
 * least 1.
 */
export function availableCores(): number {
  const quota = cgroupQuota();
  return Math.max(
    1,
    Math.min(availableParallelism(), quota === null ? Number.POSITIVE_INFINITY : Math.ceil(quota)),
  );
}

/** CPU quota of this process's control group, in cores; null without one. */
export function cgroupQuota(): number | null {
  const quotas = [
    ...readLevels('', 'cpu.max').map((text) => text.trim().split(/\s+/).map(Number)),
    ...pairs(readLevels('cpu', 'cpu.cfs_quota_us'), readLevels('cpu', 'cpu.cfs_period_us')),
  ].flatMap(([quota = Number.NaN, period = Number.NaN]) => (quota > 0 && period > 0 ? [quota / period] : []));
  return quotas.length > 0 ? Math.min(...quotas) : null;
}

function pairs(a: string[], b: string[]): [number, number][] {
  return a.map((text, index) => [Number(text), Number(b[index])]);
}
