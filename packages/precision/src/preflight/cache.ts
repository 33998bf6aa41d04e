import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadedAddon, mezzoHome, native } from '@mezzo/libtorch';
import { type nn, noGrad, scope, type Tensor } from '@mezzo/torch';
import type { PreflightReport } from './report.ts';
import { deviceType } from './subject.ts';

/** Raised whenever a preflight may judge differently than before: older verdicts are then not found. */
const FORMAT = 2;

/** Everything a verdict depends on. */
export interface CacheKey {
  readonly model: nn.Module;
  readonly device: string;
  readonly low: string;
  readonly imgsz: number;
  readonly batch: number;
  /** What else decides: the data, memory formats, islands by hand. */
  readonly further?: Readonly<Record<string, unknown>>;
}

/** A report, and whether it was computed now. */
export interface CachedReport {
  readonly report: PreflightReport;
  readonly cached: boolean;
  /** Why there was no usable verdict in the cache, where one was expected to be. */
  readonly note?: string;
}

/** The file of a verdict in Mezzo's cache folder. HOST SYNC: reads the weights once. */
export function preflightCacheFile(key: CacheKey): string {
  const { model, device, low, imgsz, batch, further } = key;
  const text = JSON.stringify([
    FORMAT,
    identityOf(model),
    machineOf(device),
    device,
    low,
    imgsz,
    batch,
    further ?? null,
  ]);
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 32);
  return path.join(mezzoHome(), 'preflight', `${hash}.json`);
}

/** Structure and weights of a model. */
function identityOf(model: nn.Module): string {
  const hash = createHash('sha256');
  hash.update(model.toString());
  for (const [name, parameter] of model.namedParameters()) {
    hash.update(
      `${name} ${parameter.dtype} ${parameter.shape.join('x')} ${parameter.requiresGrad} ${model.training}\n`,
    );
    hash.update(bytesOf(parameter));
  }
  for (const [name, buffer] of model.namedBuffers()) {
    hash.update(`${name} ${buffer.dtype}\n`);
    hash.update(bytesOf(buffer));
  }
  return hash.digest('hex');
}

const bytesOf = (tensor: Tensor): Uint8Array =>
  scope(() => noGrad(() => native().readBytes(tensor.detach().cpu().contiguous().handle)));

/** LibTorch, and for a GPU the card: what a verdict about kernels holds for. */
function machineOf(device: string): string {
  const library = `LibTorch ${loadedAddon()?.libtorch.version ?? 'unknown'}`;
  if (deviceType(device) === 'cpu') return `${library} ${native().cpuCapability()}`;
  const index = Number(device.split(':')[1] ?? 0);
  const { total } = native().cudaMemory(index);
  return `${library} ${native().cudaName(index)} ${native().cudaCapability(index).join('.')} ${total}`;
}

/**
 * The verdict in the cache, else that of `examine`, which is then kept. Only verdicts that came to an end are: what
 * the machine lacked at the time (memory, a GPU) may be there the next time. A cache that cannot be read or written
 * is said in `note` and costs nothing but time.
 */
export function cachedPreflight(file: string, examine: () => PreflightReport): CachedReport {
  const known = readVerdict(file);
  if (known !== null && 'report' in known) return { report: known.report, cached: true };
  const report = examine();
  const notes = known === null ? [] : [known.note];
  if (report.verdict !== 'unavailable') {
    const failure = writeVerdict(file, report);
    if (failure !== null) notes.push(failure);
  }
  return { report, cached: false, ...(notes.length > 0 ? { note: notes.join('; ') } : {}) };
}

function readVerdict(file: string): { report: PreflightReport } | { note: string } | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? null : { note: `the cached verdict could not be read (${message})` };
  }
  const report = parseVerdict(text);
  return report === null ? { note: `the cached verdict ${file} was damaged and is ignored` } : { report };
}

function parseVerdict(text: string): PreflightReport | null {
  try {
    const { format, report } = JSON.parse(text) as { format?: unknown; report?: Partial<PreflightReport> };
    const whole =
      format === FORMAT &&
      typeof report?.verdict === 'string' &&
      typeof report.line === 'string' &&
      Array.isArray(report.findings) &&
      typeof report.numbers === 'object';
    return whole ? (report as PreflightReport) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Returns why it could not be written, null when it was. */
function writeVerdict(file: string, report: PreflightReport): string | null {
  const draft = `${file}.${process.pid}.tmp`;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(draft, JSON.stringify({ format: FORMAT, report }));
    renameSync(draft, file);
    return null;
  } catch (error) {
    if (existsSync(draft)) rmSync(draft);
    return `the verdict could not be kept (${(error as Error).message})`;
  }
}
