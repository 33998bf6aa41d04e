import { constants } from 'node:os';
import { compileAddonSync, findAddon } from './compile.ts';
import { discoverLibTorch, loadFailure, requireLibTorch } from './discover.ts';
import { driverPresent } from './driver.ts';
import { MezzoError } from './errors.ts';
import { cudaLibrary, type LibTorch } from './libtorch.ts';
import type { Native } from './native.ts';
import { notify } from './notices.ts';
import { requirePlatform } from './platform.ts';

/** The addon after loading. */
export interface LoadedAddon {
  /** What the addon exports; `native()` gives it its type. */
  exports: object;
  /** The addon's own file. */
  path: string;
  libtorch: LibTorch;
  /** Whether the CUDA half of LibTorch is in this process, and why not where it is not. */
  cuda: { opened: true } | { opened: false; reason: string };
}

let loaded: LoadedAddon | undefined;

/** The addon if {@link loadAddon} has run in this thread. */
export function loadedAddon(): LoadedAddon | undefined {
  return loaded;
}

/**
 * Finds LibTorch, compiles the addon if it is not there yet (a notice says so before), and loads it, once a
 * thread.
 * @throws {MezzoError} LIBTORCH_MISSING, LIBTORCH_VERSION, LIBTORCH_BROKEN, COMPILER_MISSING, ADDON_COMPILE,
 * PLATFORM_UNSUPPORTED
 */
export function loadAddon(): LoadedAddon {
  if (loaded) return loaded;
  requirePlatform();
  const discovery = discoverLibTorch();
  const libtorch = requireLibTorch(discovery);
  const reason = discovery.candidates.find(({ verdict }) => verdict === 'chosen')?.reason;
  notify({ code: 'LIBTORCH_CHOSEN', message: `LibTorch ${libtorch.version} at ${libtorch.path}: ${reason}` });
  const path = findAddon({ libtorch }) ?? compileNow(libtorch);
  // Two spinning OpenMP threads beside a busy neighbour cost up to 20 times; libgomp reads this as it loads.
  process.env.OMP_WAIT_POLICY ??= 'PASSIVE';
  const exports = openAddon(path, libtorch);
  loaded = { exports, path, libtorch, cuda: openCuda(exports, libtorch) };
  return loaded;
}

function compileNow(libtorch: LibTorch): string {
  notify({
    code: 'ADDON_COMPILES',
    message: `compiling Mezzo's addon for LibTorch ${libtorch.version} (a minute or two, once)`,
  });
  return compileAddonSync({ libtorch });
}

function openAddon(path: string, libtorch: LibTorch): object {
  const module = { exports: {} };
  try {
    // Now rather than lazily: a symbol that is missing is an error here, not a crash in mid-training.
    process.dlopen(module, path, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_LOCAL);
  } catch (error) {
    throw explainLoadError(error as Error, libtorch);
  }
  return module.exports;
}

/**
 * LibTorch asks once whether it has CUDA and remembers a no for good, so this comes before any other call
 * into it. On a machine with a driver, CUDA that does not come to be is said in a notice.
 */
function openCuda(exports: object, libtorch: LibTorch): LoadedAddon['cuda'] {
  if (!driverPresent()) return { opened: false, reason: 'no NVIDIA driver on this machine' };
  const refused = (reason: string): LoadedAddon['cuda'] => {
    const message = `CUDA is not available, the CPU is used: ${reason}. mezzo doctor names the fix.`;
    notify({ code: 'CUDA_UNAVAILABLE', message });
    return { opened: false, reason };
  };
  const library = cudaLibrary(libtorch);
  if (!library) return refused(`LibTorch ${libtorch.version} at ${libtorch.path} is a CPU build`);
  const addon = exports as Pick<Native, 'cudaDeviceCount'> & { openLibrary(path: string): void };
  try {
    addon.openLibrary(library);
    return addon.cudaDeviceCount() > 0 ? { opened: true } : refused('the CUDA runtime finds no device');
  } catch (error) {
    return refused(`${library} did not open: ${(error as Error).message}`);
  }
}

/** Reasons that the dynamic loader gives, told apart by its text. */
const LOAD_ERRORS: { pattern: RegExp; found: (name: string) => string; requires: string; fix: string }[] = [
  {
    pattern: /(lib(?:cudart|cupti)[^:\s]*): cannot open shared object file/,
    found: (name) => `without ${name}`,
    requires: 'the CUDA runtime libraries beside it, on CPU machines too: LibTorch links against them',
    fix: 'mezzo setup --force',
  },
  {
    pattern: /(lib[^:\s]*): cannot open shared object file/,
    found: (name) => `without ${name}`,
    requires: 'every library that LibTorch links against',
    fix: 'mezzo setup --force, or set LIBTORCH to another folder',
  },
  {
    pattern: /version `(GLIBC_[\d.]+)' not found/,
    found: (name) => `on a system whose C library is older than ${name}`,
    requires: 'glibc 2.28 or newer',
    fix: 'use a newer system (Debian 10, Ubuntu 20.04 and later)',
  },
  {
    pattern: /version `((?:GLIBCXX|CXXABI)_[\d.]+)' not found/,
    found: (name) => `on a system whose libstdc++ is older than ${name}`,
    requires: 'the libstdc++ of the compiler that made the addon',
    fix: 'apt-get install --only-upgrade libstdc++6, or set CXX to the compiler of this system',
  },
];

/** Says in the terms of what is installed why the dynamic loader refused. */
export function explainLoadError(error: Error, libtorch: LibTorch): MezzoError {
  const said = `LibTorch ${libtorch.version} at ${libtorch.path}`;
  for (const { pattern, found, requires, fix } of LOAD_ERRORS) {
    const name = pattern.exec(error.message)?.[1];
    if (name === undefined) continue;
    const message = loadFailure([`${said}, ${found(name)}`], requires, fix);
    return new MezzoError('LIBTORCH_BROKEN', message, { hint: fix, cause: error });
  }
  const fix = 'mezzo setup --force, which builds the addon anew';
  const message = loadFailure([said, error.message], 'an addon and a LibTorch that fit each other', fix);
  return new MezzoError('LIBTORCH_BROKEN', message, { hint: fix, cause: error });
}
