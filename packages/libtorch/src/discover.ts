import path from 'node:path';
import { driverPresent } from './driver.ts';
import { MezzoError } from './errors.ts';
import { installsFolder } from './folders.ts';
import { listInstalls } from './installs.ts';
import { inspectLibTorch, type LibTorch, type Origin } from './libtorch.ts';
import { askPython } from './python.ts';
import { isSupported, SUPPORTED } from './version.ts';

/** One place that was looked at, and what came of it. */
export interface Candidate {
  origin: Origin;
  /** The folder or command that was looked at. */
  where: string;
  version?: string;
  verdict: 'chosen' | 'rejected' | 'not needed';
  /** Why, as a sentence fragment: `no torch in its search path`. */
  reason: string;
}

export interface Discovery {
  libtorch?: LibTorch;
  /** Every place considered, in the order of precedence. */
  candidates: Candidate[];
}

/**
 * Looks for LibTorch, loading nothing: `LIBTORCH`, then the `torch` of the Python that `MEZZO_PYTHON` or
 * `python3` names, then Mezzo's own copy. A folder that `LIBTORCH` names is binding: if it cannot be used,
 * nothing else is.
 */
export function discoverLibTorch(env: NodeJS.ProcessEnv = process.env): Discovery {
  const candidates: Candidate[] = [];
  let libtorch: LibTorch | undefined;

  const consider = (origin: Origin, folder: string, label: string) => {
    const found = inspectLibTorch(folder);
    if (typeof found === 'string') {
      candidates.push({ origin, where: folder, verdict: 'rejected', reason: found });
      return;
    }
    const { path: where, version } = found;
    if (!isSupported(version) && env.MEZZO_ANY_LIBTORCH !== '1') {
      const reason = `version ${version} is outside ${SUPPORTED.first} to ${SUPPORTED.last}`;
      candidates.push({ origin, where, version, verdict: 'rejected', reason });
    } else if (libtorch) {
      candidates.push({
        origin,
        where,
        version,
        verdict: 'not needed',
        reason: `${libtorch.origin} comes first`,
      });
    } else {
      libtorch = { ...found, origin };
      candidates.push({ origin, where, version, verdict: 'chosen', reason: label });
    }
  };

  if (env.LIBTORCH) {
    consider('LIBTORCH', path.resolve(env.LIBTORCH), 'LIBTORCH names it');
    return { libtorch, candidates };
  }
  const python = askPython(env);
  if (typeof python === 'string') {
    candidates.push({ origin: 'python', where: 'python', verdict: 'rejected', reason: python });
  } else if (!python.torch) {
    const reason = `Python ${python.version} has no torch`;
    candidates.push({ origin: 'python', where: python.executable, verdict: 'rejected', reason });
  } else {
    consider('python', python.torch, `the torch of ${python.command} (Python ${python.version})`);
  }
  const installs = listInstalls(driverPresent(), env);
  for (const install of installs) {
    consider('mezzo', path.join(install.path, 'torch'), `installed by mezzo setup (${install.variant} set)`);
  }
  if (installs.length === 0) {
    candidates.push({
      origin: 'mezzo',
      where: installsFolder(env),
      verdict: 'rejected',
      reason: 'not set up yet',
    });
  }
  return { libtorch, candidates };
}

/**
 * The LibTorch to use.
 * @throws {MezzoError} LIBTORCH_VERSION where only unsupported versions were found, else LIBTORCH_MISSING.
 */
export function requireLibTorch(discovery: Discovery = discoverLibTorch()): LibTorch {
  if (discovery.libtorch) return discovery.libtorch;
  const wrong = discovery.candidates.filter(({ version }) => version !== undefined);
  const bound = discovery.candidates.some(({ origin }) => origin === 'LIBTORCH');
  const hint = bound ? 'set LIBTORCH to another folder, or unset it and run mezzo setup' : 'mezzo setup';
  const found = (wrong.length > 0 ? wrong : discovery.candidates).map(describe);
  throw new MezzoError(
    wrong.length > 0 ? 'LIBTORCH_VERSION' : 'LIBTORCH_MISSING',
    loadFailure(found, `LibTorch ${SUPPORTED.first} to ${SUPPORTED.last}`, hint),
    { hint },
  );
}

function describe({ origin, where, version, reason }: Candidate): string {
  if (version !== undefined)
    return `LibTorch ${version} (${origin === 'LIBTORCH' ? `LIBTORCH=${where}` : where})`;
  return origin === 'LIBTORCH' ? `${reason} (LIBTORCH)` : reason;
}

/** The text of every failure to find or load LibTorch: what is there, what is needed, what to do. */
export function loadFailure(found: string[], requires: string, fix: string): string {
  const lines = found.map((line, index) => `${index === 0 ? '  Found:    ' : '            '}${line}`);
  return ['Could not load LibTorch.', ...lines, `  Requires: ${requires}`, `  Fix:      ${fix}`].join('\n');
}
