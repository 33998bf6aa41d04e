import { type ExecFileException, execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The root of the clone. */
export const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `./mezzo` as a user would. */
export function mezzo(args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = ROOT): Promise<Outcome> {
  return run(`${ROOT}mezzo`, args, env, cwd);
}

export function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd = ROOT,
): Promise<Outcome> {
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  const options = { cwd, env: { ...inherited, ...env }, maxBuffer: 64 << 20 };
  return new Promise((resolve) => {
    execFile(program, [...args], options, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
