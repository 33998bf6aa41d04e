import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MezzoError } from './errors.ts';
import type { Variant } from './installs.ts';

/** A LibTorch line that Mezzo installs, and what its CUDA build asks of driver and card. */
export interface Line {
  version: string;
  /** CUDA version of the wheel. */
  cuda: string;
  /** First NVIDIA driver that runs this CUDA major version. */
  driver: string;
  /** Smallest compute capability with kernels in the wheel. */
  capability: number;
}

/** Newest first. CUDA 13 dropped Volta, so the last CUDA 12 line stays for V100 cards and older drivers. */
export const LINES: [Line, ...Line[]] = [
  { version: '2.15.0', cuda: '13.2', driver: '580.65.06', capability: 7.5 },
  { version: '2.10.0', cuda: '12.8', driver: '525.60.13', capability: 7.0 },
];

/** A pinned set of wheels, as committed in `pins/`. */
export interface PinSet {
  version: string;
  variant: Variant;
  /** The requirements file with hashes. */
  file: string;
  packages: { name: string; version: string; bytes: number }[];
  downloadBytes: number;
  unpackedBytes: number;
  /** SHA-256 of what is pinned; sizes and comments do not count. */
  digest: string;
}

const PINS_FOLDER = new URL('../../pins/', import.meta.url);

/** @throws {MezzoError} NO_SUCH_SET for a version or variant without pins. */
export function readPins(version: string, variant: Variant, folder: URL = PINS_FOLDER): PinSet {
  if (!LINES.some((line) => line.version === version) || !['cpu', 'cuda'].includes(variant)) {
    const sets = LINES.flatMap((line) => [`${line.version}-cpu`, `${line.version}-cuda`]).join(', ');
    throw new MezzoError('NO_SUCH_SET', `there is no pinned set ${version}-${variant}; there are ${sets}`);
  }
  const file = fileURLToPath(new URL(`${version}-${variant}.txt`, folder));
  const text = readFileSync(file, 'utf8');
  const packages = [...text.matchAll(/^([\w-]+)==(\S+) --hash=\S+ {2}# (\d+) bytes$/gm)].map(
    ([, name = '', packageVersion = '', bytes]) => ({ name, version: packageVersion, bytes: Number(bytes) }),
  );
  return {
    version,
    variant,
    file,
    packages,
    downloadBytes: packages.reduce((sum, { bytes }) => sum + bytes, 0),
    unpackedBytes: Number(/^# unpacked: (\d+) bytes$/m.exec(text)?.[1]),
    digest: createHash('sha256')
      .update(text.replace(/ *#.*$/gm, ''))
      .digest('hex'),
  };
}
