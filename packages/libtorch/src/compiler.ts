import { createHash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import { MezzoError } from './errors.ts';
import { findExecutable } from './executables.ts';

/** The C++ compiler in force. */
export interface Compiler {
  /** Program and leading arguments: `CXX="ccache g++"` gives two words. */
  command: [string, ...string[]];
  /** Changes whenever the program is replaced by another one. Found out without starting it. */
  identity: string;
}

const USUAL = ['g++', 'c++', 'clang++'];

/**
 * The compiler that `CXX` names, else the first of g++, c++ and clang++ on `PATH`; undefined when there is
 * none.
 */
export function findCompiler(env: NodeJS.ProcessEnv = process.env): Compiler | undefined {
  const named = env.CXX?.trim().split(/\s+/).filter(Boolean) ?? [];
  const choices = named.length > 0 ? [named] : USUAL.map((name) => [name]);
  for (const [program, ...rest] of choices) {
    const file = program === undefined ? undefined : findExecutable(program, env);
    if (!file) continue;
    const actual = realpathSync(file);
    const { size, mtimeMs } = statSync(actual);
    const identity = createHash('sha256')
      .update(JSON.stringify([actual, size, mtimeMs, rest]))
      .digest('hex')
      .slice(0, 8);
    return { command: [file, ...rest], identity };
  }
  return undefined;
}

/** @throws {MezzoError} COMPILER_MISSING */
export function requireCompiler(env: NodeJS.ProcessEnv = process.env): Compiler {
  const compiler = findCompiler(env);
  if (compiler) return compiler;
  const hint = 'apt-get install g++ (Debian, Ubuntu), or set CXX to a C++20 compiler';
  const looked = env.CXX
    ? `CXX=${env.CXX}, which is not a command here`
    : `none of ${USUAL.join(', ')} on PATH`;
  throw new MezzoError(
    'COMPILER_MISSING',
    `Mezzo's addon must be compiled once and there is no C++ compiler.\n  Found:    ${looked}\n  Requires: a C++20 compiler\n  Fix:      ${hint}`,
    { hint },
  );
}
