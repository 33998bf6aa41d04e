import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** How a LibTorch came to be considered. */
export type Origin = 'LIBTORCH' | 'python' | 'mezzo';

/** A LibTorch on disk: the `torch` folder of a wheel, or an unpacked LibTorch archive. */
export interface LibTorch {
  /** The folder that holds `lib` and `include`. */
  path: string;
  /** Full version text, build suffix included: `2.15.0+cu132`. */
  version: string;
  /** CUDA version it was built with (`13.2`), or null for a CPU build. */
  cuda: string | null;
  origin: Origin;
}

/** Header folders of a LibTorch, in search order. */
export function includeFolders(libtorch: Pick<LibTorch, 'path'>): string[] {
  const include = path.join(libtorch.path, 'include');
  return [include, path.join(include, 'torch/csrc/api/include')];
}

/** The CUDA half of LibTorch, or undefined when this build has none. */
export function cudaLibrary(libtorch: Pick<LibTorch, 'path'>): string | undefined {
  const file = path.join(libtorch.path, 'lib/libtorch_cuda.so');
  return existsSync(file) ? file : undefined;
}

const REQUIRED = ['lib/libc10.so', 'lib/libtorch_cpu.so', 'include/ATen/core/dispatch/Dispatcher.h'];

/**
 * Reads what LibTorch a folder holds, without running or loading anything.
 * Returns a sentence saying what is wrong when the folder holds none.
 */
export function inspectLibTorch(folder: string): Omit<LibTorch, 'origin'> | string {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return `no such folder: ${folder}`;
  // Users point at the site-packages folder of a `pip install --target` as often as at `torch` itself.
  const root = existsSync(path.join(folder, 'torch/version.py')) ? path.join(folder, 'torch') : folder;
  const missing = REQUIRED.filter((file) => !existsSync(path.join(root, file)));
  if (missing.length > 0) return `not a LibTorch folder: ${root} lacks ${missing.join(', ')}`;
  const described = readVersion(root);
  if (!described) return `${root} has neither version.py nor build-version, so its version is unknown`;
  return { path: root, ...described };
}

function readVersion(root: string): Pick<LibTorch, 'version' | 'cuda'> | undefined {
  const python = path.join(root, 'version.py');
  if (existsSync(python)) {
    const text = readFileSync(python, 'utf8');
    const version = /^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(text)?.[1];
    const cuda = /^cuda\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m.exec(text)?.[1] ?? null;
    if (version) return { version, cuda };
  }
  const archive = path.join(root, 'build-version');
  if (existsSync(archive)) {
    const version = readFileSync(archive, 'utf8').trim();
    // The archive names its CUDA only in the suffix: cu128 is 12.8.
    const suffix = /\+cu(\d+)(\d)$/.exec(version);
    if (version) return { version, cuda: suffix ? `${suffix[1]}.${suffix[2]}` : null };
  }
  return undefined;
}
