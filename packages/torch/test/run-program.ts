import { writeSync } from 'node:fs';
import type { RankOutcome } from './ranks.ts';

export type Program = () => Promise<Record<string, unknown>>;

/** Runs the program that the first argument names, and writes its outcome to standard output. */
export async function runProgram(programs: Record<string, Program>): Promise<never> {
  const program = programs[process.argv[2] ?? ''];
  if (!program) throw new Error(`no such program: ${process.argv[2]}`);
  const outcome: RankOutcome = await program().then(
    (result) => ({ result }),
    (error: Error & { code?: string; hint?: string }) => ({
      error: {
        code: error.code ?? 'none',
        message: error.message,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      },
    }),
  );
  writeSync(1, JSON.stringify(outcome));
  process.exit();
}
