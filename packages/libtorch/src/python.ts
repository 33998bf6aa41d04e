import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { findExecutable } from './executables.ts';
import { mezzoHome } from './folders.ts';

/** What an interpreter said about itself and where it would import `torch` from. */
export interface PythonAnswer {
  /** The command as the user named it. */
  command: string;
  executable: string;
  version: string;
  /** The folder that `import torch` would load, or null. Nothing is imported to find out. */
  torch: string | null;
}

interface CachedAnswer extends PythonAnswer {
  /** Modification times (ms; null = absent) of every folder whose change could change the answer. */
  watched: Record<string, number | null>;
}

// The current folder is left out of the search: `python3 -c` would take any folder named torch there.
const PROBE = `
import importlib.util, json, site, sys
sys.path = [p for p in sys.path if p]
spec = importlib.util.find_spec('torch')
where = list(spec.submodule_search_locations or []) if spec else []
print(json.dumps({
  'executable': sys.executable,
  'version': '.'.join(str(n) for n in sys.version_info[:3]),
  'torch': where[0] if where else None,
  'watch': sys.path + [site.getusersitepackages(), sys.prefix + '/pyvenv.cfg'],
}))`;

/** The interpreter command in force: `MEZZO_PYTHON`, else `python3`. */
export function pythonCommand(env: NodeJS.ProcessEnv = process.env): string {
  return env.MEZZO_PYTHON || 'python3';
}

/**
 * Asks the interpreter where its `torch` is; a sentence says why there is no answer.
 *
 * The answer is kept in Mezzo's folder and reused while the interpreter and every folder of its search path
 * are unchanged, so a later install or removal of torch is seen. A script in the interpreter's place (pyenv,
 * asdf) picks its Python by the current folder, so its answer is never kept.
 */
export function askPython(env: NodeJS.ProcessEnv = process.env): PythonAnswer | string {
  const command = pythonCommand(env);
  const file = findExecutable(command, env);
  if (!file) return `${command}: command not found`;
  const cacheFile = isScript(file) ? undefined : cachePath(file, env);
  const cached = cacheFile && readCache(cacheFile);
  if (cached) return { command, executable: cached.executable, version: cached.version, torch: cached.torch };
  const run = spawnSync(file, ['-c', PROBE], { encoding: 'utf8', env, timeout: 20_000 });
  if (run.error) return `${command} did not run: ${run.error.message}`;
  if (run.status !== 0) return `${command} failed: ${lastLine(run.stderr)}`;
  const said = JSON.parse(run.stdout) as Omit<PythonAnswer, 'command'> & { watch: string[] };
  const answer = { command, executable: said.executable, version: said.version, torch: said.torch };
  if (cacheFile) writeCache(cacheFile, { ...answer, watched: modificationTimes(said.watch) });
  return answer;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

function isScript(file: string): boolean {
  const descriptor = openSync(file, 'r');
  try {
    const head = Buffer.alloc(2);
    return readSync(descriptor, head, 0, 2, 0) === 2 && head.toString('latin1') === '#!';
  } finally {
    closeSync(descriptor);
  }
}

function cachePath(interpreter: string, env: NodeJS.ProcessEnv): string {
  const { mtimeMs, size } = statSync(interpreter);
  const search = [env.PYTHONPATH, env.PYTHONHOME, env.PYTHONUSERBASE, env.PYTHONNOUSERSITE, env.HOME];
  const key = createHash('sha256')
    .update(JSON.stringify([PROBE, interpreter, mtimeMs, size, search]))
    .digest('hex');
  return path.join(mezzoHome(env), 'python', `${key.slice(0, 24)}.json`);
}

function modificationTimes(files: string[]): Record<string, number | null> {
  return Object.fromEntries(
    files.map((file) => [file, statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? null]),
  );
}

function readCache(file: string): CachedAnswer | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  // A machine that lost power can leave an empty file behind.
  if (!text.endsWith('}')) return undefined;
  const cached = JSON.parse(text) as CachedAnswer;
  const now = modificationTimes(Object.keys(cached.watched));
  return Object.entries(cached.watched).every(([name, time]) => now[name] === time) ? cached : undefined;
}

function writeCache(file: string, answer: CachedAnswer): void {
  const temporary = `${file}.${process.pid}`;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(temporary, JSON.stringify(answer));
    renameSync(temporary, file);
  } catch (error) {
    // A read-only or full home costs the next start one process, never the answer.
    rmSync(temporary, { force: true });
    if (
      !['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
    ) {
      throw error;
    }
  }
}
