import { homedir } from 'node:os';
import path from 'node:path';

/**
 * Mezzo's own folder: LibTorch copies, compiled addons and probe answers, shared by all projects of a user.
 * `MEZZO_HOME` names it; otherwise it is `mezzo` in `XDG_CACHE_HOME` or `~/.cache` (XDG base directories).
 */
export function mezzoHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.MEZZO_HOME) return path.resolve(env.MEZZO_HOME);
  // The XDG specification has relative values ignored.
  const cache =
    env.XDG_CACHE_HOME && path.isAbsolute(env.XDG_CACHE_HOME)
      ? env.XDG_CACHE_HOME
      : path.join(homedir(), '.cache');
  return path.join(cache, 'mezzo');
}

/** Where `mezzo setup` puts LibTorch: one folder per version and variant. */
export function installsFolder(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(mezzoHome(env), 'libtorch');
}

/** Where compiled addons and their objects are kept. */
export function addonsFolder(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(mezzoHome(env), 'addon');
}
