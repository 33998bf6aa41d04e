import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { MezzoError } from '@mezzo/libtorch';

/** What a run is for: decides its default folder name. */
export type RunKind = 'train' | 'val' | 'predict';

export interface RunFolderOptions {
  /** Folder that holds the runs; `runs/detect` under the working folder unless given. */
  project: string | null;
  /** `train`, `val` or `predict` unless given. */
  name: string | null;
  /** Write into an existing folder instead of numbering a new one. */
  exist_ok: boolean;
}

/** The folder of a run that is the first of its name. */
export const runFolder = (
  kind: RunKind,
  { project, name }: Pick<RunFolderOptions, 'project' | 'name'>,
): string => path.join(path.resolve(project ?? path.join('runs', 'detect')), name ?? kind);

/**
 * Creates the folder of a run and returns its absolute path: `train`, then `train2`, `train3`, …
 * Two runs that start together get two folders.
 * @throws {MezzoError} NO_PERMISSION or DISK_FULL
 */
export function createRunFolder(kind: RunKind, options: RunFolderOptions): string {
  const project = path.resolve(options.project ?? path.join('runs', 'detect'));
  const name = options.name ?? kind;
  try {
    mkdirSync(path.dirname(path.join(project, name)), { recursive: true });
    if (options.exist_ok) {
      mkdirSync(path.join(project, name), { recursive: true });
      return path.join(project, name);
    }
    for (let number = 1; ; number++) {
      const folder = path.join(project, number === 1 ? name : `${name}${number}`);
      if (createNew(folder)) return folder;
    }
  } catch (error) {
    throw fileSystemError(error, project);
  }
}

function createNew(folder: string): boolean {
  if (existsSync(folder)) return false;
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Turns a failed write into an error that names the place and the remedy; anything else passes unchanged. */
export function fileSystemError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const hint = 'choose another folder with project=DIR, or change its permissions';
    return new MezzoError('NO_PERMISSION', `cannot write in ${where}: permission denied`, {
      hint,
      cause: error,
    });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const hint = 'free some space, or choose another disk with project=DIR';
    return new MezzoError('DISK_FULL', `cannot write in ${where}: the disk is full`, { hint, cause: error });
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    const hint = 'choose another folder with project=DIR or name=NAME';
    return new MezzoError('NOT_A_FOLDER', `cannot write in ${where}: a file is in the way`, {
      hint,
      cause: error,
    });
  }
  return error;
}

/** Every `weights/last.safetensors` under a folder, newest first. */
export function findCheckpoints(root: string): string[] {
  const found: { file: string; time: number }[] = [];
  const visit = (folder: string, depth: number): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const child = path.join(folder, entry.name);
      const file = path.join(child, 'last.safetensors');
      if (entry.name === 'weights' && existsSync(file)) found.push({ file, time: statSync(file).mtimeMs });
      else if (depth > 0) visit(child, depth - 1);
    }
  };
  if (existsSync(root)) visit(root, 4);
  return found.sort((a, b) => b.time - a.time).map(({ file }) => file);
}
