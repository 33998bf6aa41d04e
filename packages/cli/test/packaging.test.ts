import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Outcome, ROOT, run } from './mezzo.ts';

const project = mkdtempSync(join(tmpdir(), 'mezzo-project-'));
const modules = join(project, 'node_modules');
const PACKAGES = ['libtorch', 'torch', 'precision', 'keras', 'detect', 'cli'];

after(() => rmSync(project, { recursive: true }));

async function done(outcome: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await outcome;
  assert.equal(code, 0, stderr + stdout);
  return stdout;
}

/** An empty ESM project with the packed packages; dependencies of others come from this clone. */
before(async () => {
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "type": "module" }');
  for (const name of PACKAGES) {
    const pack = ['pack', '--json', '--pack-destination', project, '--loglevel=error'];
    const [{ filename }] = JSON.parse(await done(run('npm', pack, {}, join(ROOT, 'packages', name)))) as [
      { filename: string },
    ];
    const home = join(modules, '@mezzo', name);
    mkdirSync(home, { recursive: true });
    await done(run('tar', ['-xzf', join(project, filename), '-C', home, '--strip-components=1']));
    const { dependencies = {} } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    for (const other of Object.keys(dependencies)) {
      if (!other.startsWith('@mezzo/')) link(other);
    }
  }
  link('@types/node');
  link('undici-types');
});

function link(name: string): void {
  const place = join(modules, name);
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules', name), place);
}

/** The TypeScript snippets of the README, in order. */
function snippets(): string[] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  return [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
}

test('the packages hold what they need: no tests, no sources but the C++ ones, the pins', () => {
  for (const name of PACKAGES) {
    const home = join(modules, '@mezzo', name);
    assert.ok(existsSync(join(home, 'dist', 'src', 'index.d.ts')), name);
    assert.ok(!existsSync(join(home, 'dist', 'test')), name);
    assert.ok(!existsSync(join(home, 'src')), name);
  }
  assert.ok(existsSync(join(modules, '@mezzo', 'libtorch', 'native')));
  assert.ok(existsSync(join(modules, '@mezzo', 'libtorch', 'pins', '2.15.0-cpu.txt')));
});

test("the README's snippets compile under strict and run in an empty ESM project", async () => {
  const codes = snippets();
  assert.equal(codes.length, 3);
  const files = codes.map((code, index) => {
    const small = code.replace('epochs: 100, imgsz: 640', 'epochs: 1, imgsz: 64, batch: 4, plots: false');
    writeFileSync(join(project, `snippet${index}.ts`), small);
    return `snippet${index}.ts`;
  });
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'NodeNext',
    types: ['node'],
    strict: true,
    skipLibCheck: false,
    noImplicitOverride: true,
    outDir: 'out',
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  await done(run(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project]));

  const mezzo = join(modules, '@mezzo', 'cli', 'dist', 'src', 'main.js');
  const generate = ['data', 'shapes', '--out', 'shapes', 'train=8', 'val=2', 'imgsz=64'];
  await done(run(process.execPath, [mezzo, ...generate], {}, project));
  cpSync(join(project, 'shapes', 'images', 'val'), join(project, 'pictures'), { recursive: true });
  const env = { OMP_NUM_THREADS: '1' };
  const [first] = await Promise.all([
    done(run(process.execPath, [join(project, 'out', 'snippet0.js')], env, project)),
    ...[1, 2].map((index) =>
      done(run(process.execPath, [join(project, 'out', `snippet${index}.js`)], env, project)),
    ),
  ]);
  assert.match(first, /^1 \d/);
});
