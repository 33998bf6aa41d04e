import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Inside the package, where its own name and its neighbours resolve. */
const folder = mkdtempSync(fileURLToPath(new URL('../docs-', import.meta.url)));
after(() => rmSync(folder, { recursive: true }));

test('the snippets of docs/keras.md compile under strict and run', () => {
  const page = readFileSync(new URL('../../../../docs/keras.md', import.meta.url), 'utf8');
  const snippets = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
  assert.equal(snippets.length, 3);
  const files = snippets.map((code, i) => {
    writeFileSync(join(folder, `snippet${i}.ts`), code);
    return `snippet${i}.ts`;
  });
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'NodeNext',
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    noImplicitOverride: true,
    noUncheckedIndexedAccess: true,
  };
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [compiler, '-p', folder], { stdio: 'pipe' });
  // One after the other in one process.
  const imports = files.map((file) => `await import('./${file.replace('.ts', '.js')}'); console.log('---');`);
  writeFileSync(join(folder, 'all.js'), imports.join('\n'));
  const said = execFileSync(process.execPath, ['--no-warnings', join(folder, 'all.js')], {
    encoding: 'utf8',
  });
  const [lesson, models, loop] = said.split('---\n');
  assert.match(lesson!, /Total params: 514 /);
  assert.match(lesson!, /best validation accuracy (0\.9\d|1\n)/);
  assert.match(models!, /\[ null, 5 \]/);
  assert.match(loop!, /^32768 10\n$/);
});
