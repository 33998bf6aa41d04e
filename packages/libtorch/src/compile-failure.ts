import path from 'node:path';
import { MezzoError } from './errors.ts';

const SHOWN = 3;

/** What a compiler says, told apart by its text; the first that matches names the fix. */
const CAUSES: { pattern: RegExp; fix: string }[] = [
  {
    pattern: /No space left on device/,
    fix: 'free disk space, or set MEZZO_HOME to a folder on another disk',
  },
  {
    pattern: /unrecognized command.line option.*c\+\+20|invalid value 'c\+\+20'|error:.*concepts/,
    fix: 'apt-get install g++ (version 11 or newer), or set CXX',
  },
  {
    pattern: /cannot find -l(torch_cpu|c10)/,
    fix: 'mezzo setup, or set LIBTORCH to a whole LibTorch folder',
  },
  {
    pattern: /fatal error: .*(No such file or directory|file not found)/,
    fix: 'apt-get install g++ libc6-dev, and mezzo setup',
  },
  { pattern: /cannot execute|cc1plus/, fix: 'apt-get install g++' },
];

/** Turns a compiler's output into one error: its first errors, and the way out where the cause is known. */
export function compileFailure(
  what: string,
  program: string,
  output: string,
  signal: NodeJS.Signals | null,
): MezzoError {
  const name = path.basename(what);
  if (signal) {
    const hint = 'free memory, or compile on a machine with 2 GB free';
    return new MezzoError('ADDON_COMPILE', `${program} was ended by ${signal} while making ${name}`, {
      hint,
    });
  }
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /\berror\b|undefined reference|cannot find|No space/.test(line));
  // An error inside a header says nothing without the line of the source that led there.
  const led = errors.some((line) => line.includes(name))
    ? []
    : lines.filter((line) => line.includes(`${what}:`));
  const shown = [...led.slice(-1), ...(errors.length > 0 ? errors : lines)]
    .slice(0, SHOWN)
    .map((line) => `  ${line.trim()}`);
  const hint = CAUSES.find(({ pattern }) => pattern.test(output))?.fix ?? 'mezzo doctor shows what was found';
  return new MezzoError('ADDON_COMPILE', [`${program} could not make ${name}:`, ...shown].join('\n'), {
    hint,
  });
}
