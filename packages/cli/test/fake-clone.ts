import { type ExecFileException, execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const LAUNCHER = fileURLToPath(new URL('../../../../mezzo', import.meta.url));

/** Programs that every Linux has and the launcher calls. */
const SYSTEM = [
  'sh',
  'dirname',
  'readlink',
  'find',
  'uname',
  'mkdir',
  'mv',
  'id',
  'flock',
  'env',
  'sleep',
  'touch',
  'cp',
];

export const FAKE_NPM = `#!/bin/sh
echo npm "$@" >>calls
sleep 0.3
mkdir -p node_modules/typescript/bin
cp fake-tsc.js node_modules/typescript/bin/tsc
touch node_modules/.package-lock.json
`;

const FAKE_TSC = `
const { appendFileSync, existsSync, mkdirSync, writeFileSync } = require('fs');
appendFileSync('calls', 'tsc -b\\n');
if (existsSync('broken')) {
  console.error('a.ts(1,1): error');
  process.exit(2);
}
mkdirSync('packages/cli/dist/src', { recursive: true });
writeFileSync('packages/cli/dist/src/main.js', 'console.log(process.cwd(), ...process.argv.slice(2))');
`;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder that looks like a fresh clone, with a search path of its own: programs can be missing or different. */
export class FakeClone {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), 'mezzo-clone-')));
  readonly programs = join(this.root, 'programs');

  /** @param programs what is installed besides the basics: names, or scripts by name */
  constructor(
    programs: readonly string[] = ['node', 'python3', 'c++'],
    scripts: Record<string, string> = { npm: FAKE_NPM },
  ) {
    mkdirSync(join(this.root, 'packages', 'cli', 'src'), { recursive: true });
    writeFileSync(join(this.root, 'packages', 'cli', 'src', 'main.ts'), '');
    writeFileSync(join(this.root, 'packages', 'cli', 'package.json'), '{}');
    for (const name of ['package-lock.json', 'tsconfig.json', 'tsconfig.base.json']) {
      writeFileSync(join(this.root, name), '{}');
    }
    writeFileSync(join(this.root, 'fake-tsc.js'), FAKE_TSC);
    copyFileSync(LAUNCHER, join(this.root, 'mezzo'));
    mkdirSync(this.programs);
    for (const name of [...SYSTEM, ...programs]) this.install(name);
    for (const [name, text] of Object.entries(scripts)) this.script(name, text);
  }

  /** What npm and tsc were called with, in order. */
  get calls(): string[] {
    try {
      return readFileSync(join(this.root, 'calls'), 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  }

  /** Puts a script in the place of a program. */
  script(name: string, text: string): void {
    const path = join(this.programs, name);
    // The programs are links to the real ones: a link must go before a file takes its name.
    rmSync(path, { force: true });
    writeFileSync(path, text, { flag: 'wx', mode: 0o755 });
  }

  run(
    args: readonly string[],
    { cwd = this.root, launcher = join(this.root, 'mezzo'), env = {} } = {},
  ): Promise<Outcome> {
    const base = { PATH: this.programs, HOME: this.root, MEZZO_NO_APT: '1', ...env };
    return new Promise((resolve) => {
      execFile(launcher, [...args], { cwd, env: base }, (error: ExecFileException | null, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  private install(name: string): void {
    const found = (process.env.PATH ?? '').split(':').map((folder) => join(folder, name));
    const real = name === 'node' ? process.execPath : found.find(exists);
    if (real === undefined) throw new Error(`this test needs ${name}`);
    symlinkSync(realpathSync(real), join(this.programs, name));
  }
}

function exists(path: string): boolean {
  try {
    return realpathSync(path) !== '';
  } catch {
    return false;
  }
}
