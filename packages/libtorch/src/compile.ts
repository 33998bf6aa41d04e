import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileFailure } from './compile-failure.ts';
import { type Compiler, findCompiler, requireCompiler } from './compiler.ts';
import { MezzoError } from './errors.ts';
import { addonsFolder } from './folders.ts';
import { includeFolders, type LibTorch } from './libtorch.ts';
import { withLock } from './lock.ts';

/** Mezzo's C++ sources. */
export const NATIVE_FOLDER = fileURLToPath(new URL('../../native/', import.meta.url));

const COMPILE_FLAGS = [
  '-O2',
  '-std=c++20',
  '-fPIC',
  '-pthread',
  '-Wall',
  '-fvisibility=hidden',
  // The wheels are built with it; an addon built without trips assertions in inline header code.
  '-DNDEBUG',
  '-D_GLIBCXX_USE_CXX11_ABI=1',
];

const LINK_FLAGS = ['-shared', '-pthread', '-Wl,-Bsymbolic', '-Wl,--exclude-libs,ALL'];

/** Instruction sets beyond x86-64, by file name; such code runs behind a run-time check of the CPU. */
const AVX512 = ['-O3', '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mf16c'];
const FLAGS_BY_ENDING: Record<string, string[]> = {
  '.avx2.cc': ['-O3', '-mavx2', '-mfma', '-mf16c'],
  '.avx512.cc': AVX512,
  '.avx512bf16.cc': [...AVX512, '-mavx512bf16'],
};

const OBJECT_LIFE_MS = 30 * 24 * 3600 * 1000;

export interface CompileProgress {
  /** Files done, of `total` that needed compiling. */
  done: number;
  total: number;
}

export interface CompileOptions {
  libtorch: LibTorch;
  /** The folder of the `.cc` files; Mezzo's own unless a test says otherwise. */
  sources?: string;
  env?: NodeJS.ProcessEnv;
  /** Compiles anew what is there already. */
  force?: boolean;
  onProgress?: (progress: CompileProgress) => void;
}

interface Unit {
  source: string;
  flags: string[];
  key: string;
}

/**
 * The compiled addon for a LibTorch, or undefined when it must be compiled first. Without a compiler on the
 * machine an addon that any compiler made from the same sources is as good.
 */
export function findAddon({
  libtorch,
  sources = NATIVE_FOLDER,
  env = process.env,
}: CompileOptions): string | undefined {
  const key = addonKey(libtorch, readUnits(sources, libtorch));
  const compiler = findCompiler(env);
  if (compiler) {
    const file = addonFile(key, compiler, env);
    return existsSync(file) ? file : undefined;
  }
  const folder = addonsFolder(env);
  const made = existsSync(folder)
    ? readdirSync(folder).find((name) => name.startsWith(`${key}-`))
    : undefined;
  return made && path.join(folder, made);
}

/**
 * Compiles what changed and links the addon; returns its path. Two processes do not work at once, and
 * whatever is published appears whole.
 * @throws {MezzoError} COMPILER_MISSING, or ADDON_COMPILE with the compiler's first errors.
 */
export async function compileAddon(options: CompileOptions): Promise<string> {
  const {
    libtorch,
    sources = NATIVE_FOLDER,
    env = process.env,
    force = false,
    onProgress = () => {},
  } = options;
  const compiler = requireCompiler(env);
  const folder = addonsFolder(env);
  const objects = path.join(folder, 'objects');
  mkdirSync(objects, { recursive: true });
  return withLock(path.join(folder, 'lock'), async () => {
    const units = readUnits(sources, libtorch);
    if (units.length === 0) throw new MezzoError('ADDON_COMPILE', `no C++ sources in ${sources}`);
    const addon = addonFile(addonKey(libtorch, units), compiler, env);
    if (existsSync(addon) && !force) return addon;
    const stale = units.filter((unit) => force || !existsSync(objectFile(objects, unit, compiler)));
    let done = 0;
    onProgress({ done, total: stale.length });
    await inParallel(stale, async (unit) => {
      await publish(objectFile(objects, unit, compiler), (output) =>
        run(compiler, [...unit.flags, '-c', unit.source, '-o', output], unit.source),
      );
      onProgress({ done: ++done, total: stale.length });
    });
    const used = units.map((unit) => objectFile(objects, unit, compiler));
    const lib = path.join(libtorch.path, 'lib');
    await publish(addon, (output) =>
      run(
        compiler,
        [...LINK_FLAGS, ...used, `-L${lib}`, `-Wl,-rpath,${lib}`, '-lc10', '-ltorch_cpu', '-o', output],
        addon,
      ),
    );
    sweep(objects, used);
    return addon;
  });
}

/** {@link compileAddon} for callers that cannot wait: the same work in a child process. */
export function compileAddonSync({
  libtorch,
  sources,
  env = process.env,
}: Pick<CompileOptions, 'libtorch' | 'sources' | 'env'>): string {
  const child = fileURLToPath(new URL('./compile-process.js', import.meta.url));
  const run = spawnSync(process.execPath, [child], {
    env,
    input: JSON.stringify({ libtorch, sources }),
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (run.error)
    throw new MezzoError('ADDON_COMPILE', `the compile process did not start: ${run.error.message}`);
  if (run.status !== 0) {
    const ended = run.signal ?? `exit code ${run.status}`;
    throw new MezzoError('ADDON_COMPILE', `the compile process ended early (${ended}): ${run.stderr.trim()}`);
  }
  const outcome = JSON.parse(run.stdout) as CompileOutcome;
  if ('addon' in outcome) return outcome.addon;
  throw new MezzoError(outcome.code, outcome.message, { hint: outcome.hint });
}

/** What the compile process writes to its standard output. */
export type CompileOutcome = { addon: string } | { code: string; message: string; hint?: string };

function readUnits(folder: string, libtorch: LibTorch): Unit[] {
  const require = createRequire(import.meta.url);
  const { include_dir: nodeHeaders } = require('node-api-headers') as { include_dir: string };
  const { version: nodeApi } = require('node-api-headers/package.json') as { version: string };
  // The folder itself stands for the headers of Gloo, which LibTorch's include and the wheels lack.
  const includes = [nodeHeaders, ...includeFolders(libtorch), folder].flatMap((place) => ['-isystem', place]);
  const names = readdirSync(folder).filter((name) => name.endsWith('.cc'));
  return names.sort().map((name) => {
    const ending = Object.keys(FLAGS_BY_ENDING).find((suffix) => name.endsWith(suffix));
    const own = [...COMPILE_FLAGS, ...(ending ? (FLAGS_BY_ENDING[ending] ?? []) : [])];
    const texts = sourceTexts(folder, name);
    const key = hash([own, libtorch.version, nodeApi, [...texts]]);
    return { source: path.join(folder, name), flags: [...own, ...includes], key };
  });
}

/** A source and, transitively, the files of its own folder that it includes. */
function sourceTexts(folder: string, name: string, seen = new Map<string, string>()): Map<string, string> {
  const file = path.join(folder, name);
  if (seen.has(name) || !existsSync(file)) return seen;
  const text = readFileSync(file, 'utf8');
  seen.set(name, text);
  for (const [, included] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
    sourceTexts(folder, path.normalize(path.join(path.dirname(name), included ?? '')), seen);
  }
  return seen;
}

function hash(parts: unknown): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

function addonKey(libtorch: LibTorch, units: Unit[]): string {
  return hash([
    LINK_FLAGS,
    libtorch.path,
    libtorch.version,
    units.map((unit) => [path.basename(unit.source), unit.key]),
  ]);
}

function addonFile(key: string, compiler: Compiler, env: NodeJS.ProcessEnv): string {
  return path.join(addonsFolder(env), `${key}-${compiler.identity}.node`);
}

function objectFile(folder: string, unit: Unit, compiler: Compiler): string {
  return path.join(folder, `${path.basename(unit.source, '.cc')}-${unit.key}-${compiler.identity}.o`);
}

async function publish(file: string, make: (output: string) => Promise<void>): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  try {
    await make(draft);
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}

function run(compiler: Compiler, args: string[], what: string): Promise<void> {
  const [program, ...leading] = compiler.command;
  return new Promise((resolve, reject) => {
    // English messages, so that the first error can be told from the noise.
    const env = { ...process.env, LC_ALL: 'C' };
    const child = spawn(program, [...leading, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(compileFailure(what, program, errors, signal));
    });
  });
}

async function inParallel<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  // A unit takes up to 1 GB of memory, so a large machine is not filled with them.
  const lanes = Math.min(Math.max(2, availableParallelism()), 4);
  const queue = [...items];
  const lane = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  const ended = await Promise.allSettled(Array.from({ length: lanes }, lane));
  const failed = ended.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
}

function sweep(folder: string, used: string[]): void {
  const now = new Date();
  for (const file of used) utimesSync(file, now, now);
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name);
    const age = now.getTime() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? now.getTime());
    if (age > OBJECT_LIFE_MS) rmSync(file, { force: true });
  }
}
