// Started by compileAddonSync: reads the request on standard input, writes the outcome on standard output.
import { readFileSync } from 'node:fs';
import { type CompileOptions, type CompileOutcome, compileAddon } from './compile.ts';
import { MezzoError } from './errors.ts';

async function main(): Promise<CompileOutcome> {
  const request = JSON.parse(readFileSync(0, 'utf8')) as Pick<CompileOptions, 'libtorch' | 'sources'>;
  try {
    return { addon: await compileAddon(request) };
  } catch (error) {
    if (!(error instanceof MezzoError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint };
  }
}

process.stdout.write(JSON.stringify(await main()));
