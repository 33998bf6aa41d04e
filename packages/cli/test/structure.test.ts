import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { ROOT, run } from './mezzo.ts';

/** The layers from the bottom up: a package imports only from those before it. */
const LAYERS = ['libtorch', 'torch', 'precision', 'keras', 'detect', 'cli'];

const PACKAGES = join(ROOT, 'packages');

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function imports(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?<!\.)\b(?:from|import)\s*\(?\s*'([^'\s]+)'/g)].map(
    ([, specifier]) => specifier!,
  );
}

test('imports point downwards: cli, detect, keras, precision, torch, libtorch', () => {
  for (const [level, name] of LAYERS.entries()) {
    const home = join(PACKAGES, name);
    const { dependencies = {} } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    for (const file of sources(join(home, 'src'))) {
      for (const specifier of imports(file)) {
        const where = `${relative(ROOT, file)} imports ${specifier}`;
        const other = /^@mezzo\/([^/]+)/.exec(specifier)?.[1];
        if (other !== undefined) {
          assert.ok(LAYERS.indexOf(other) >= 0 && LAYERS.indexOf(other) < level, where);
          assert.ok(
            Object.hasOwn(dependencies, `@mezzo/${other}`),
            `${where}, which package.json does not name`,
          );
        } else if (specifier.startsWith('.')) {
          assert.ok(
            !relative(home, resolve(dirname(file), specifier)).startsWith('..'),
            `${where}, outside its package`,
          );
          assert.match(specifier, /\.ts$/, where);
        } else if (!specifier.startsWith('node:')) {
          assert.ok(
            Object.hasOwn(dependencies, specifier.split('/')[0]!),
            `${where}, which package.json does not name`,
          );
        }
      }
    }
  }
});

/** Named by others: c10d includes <gloo/common/error.h>, which no wheel has. */
const DICTATED = join('libtorch', 'native', 'gloo', 'common');

test('no file and no folder is a catch-all', () => {
  const banned = /^(utils?|helpers?|misc|common|shared|stuff)$/i;
  for (const name of LAYERS) {
    for (const part of ['src', 'test', 'native']) {
      const folder = join(PACKAGES, name, part);
      let entries: string[] = [];
      try {
        entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      for (const entry of entries) {
        const place = join(name, part, entry);
        if (place !== DICTATED) assert.doesNotMatch(basename(entry).split('.')[0]!, banned, place);
      }
    }
  }
});

test('every package can be imported where LibTorch is not installed', async () => {
  const home = mkdtempSync(join(tmpdir(), 'mezzo-home-'));
  const env = { LIBTORCH: '/nonexistent', MEZZO_HOME: home };
  try {
    for (const name of LAYERS) {
      const { exports } = JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8')) as {
        exports: Record<string, unknown>;
      };
      for (const entry of Object.keys(exports)) {
        const specifier = `@mezzo/${name}${entry.slice(1)}`;
        const script = `const names = Object.keys(await import('${specifier}')); console.log(names.length > 0);`;
        const outcome = await run(
          process.execPath,
          ['--input-type=module', '-e', script],
          env,
          join(PACKAGES, 'cli'),
        );
        assert.deepEqual(outcome, { code: 0, stdout: 'true\n', stderr: '' }, specifier);
      }
    }
    assert.deepEqual(readdirSync(home), [], 'an import wrote into the cache folder');
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('mezzo --help loads a handful of small files of its own and nothing else', async () => {
  const hook = `data:text/javascript,${encodeURIComponent(
    `
    import { registerHooks, register } from 'node:module';
    register('data:text/javascript,' + encodeURIComponent(\`
      export async function load(url, context, next) {
        if (url.startsWith('file:')) console.error(url);
        return next(url, context);
      }\`));
  `.replace('registerHooks, ', ''),
  )}`;
  const main = join(PACKAGES, 'cli', 'dist', 'src', 'main.js');
  const { code, stderr } = await run(process.execPath, ['--import', hook, main, '--help']);
  assert.equal(code, 0);
  const loaded = stderr
    .trim()
    .split('\n')
    .map((url) => url.replace(/^.*\/packages\//, ''));
  assert.ok(loaded.includes('cli/dist/src/main.js'));
  assert.ok(loaded.length <= 12, `${loaded.length} files: ${loaded.join(' ')}`);
  for (const file of loaded) assert.match(file, /^cli\/dist\/src\//);
});
