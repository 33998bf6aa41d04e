import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { compileAddon, compileAddonSync, findAddon } from '../src/compile.ts';
import { findExecutable } from '../src/executables.ts';
import type { LibTorch } from '../src/libtorch.ts';
import { linkableWheel, temporaryFolder } from './fake-libtorch.ts';

const ANSWER = (value: string) => `
#include <node_api.h>
#include "answer.h"
napi_value init(napi_env env, napi_value exports) {
  napi_value value;
  napi_create_int32(env, ${value}, &value);
  napi_set_named_property(env, exports, "answer", value);
  return exports;
}
NAPI_MODULE(answer, init)
`;

interface Workshop {
  libtorch: LibTorch;
  sources: string;
  env: NodeJS.ProcessEnv;
  objects: () => string[];
}

/** Sources of a small addon of two files and a LibTorch to link it against. */
function workshop(t: TestContext): Workshop {
  const folder = temporaryFolder(t);
  const version = '2.15.0';
  const libtorch: LibTorch = {
    path: linkableWheel(path.join(folder, 'torch'), version),
    version,
    cuda: null,
    origin: 'LIBTORCH',
  };
  const sources = temporaryFolder(t);
  writeFileSync(path.join(sources, 'answer.h'), 'int answer();\n');
  writeFileSync(path.join(sources, 'addon.cc'), ANSWER('answer()'));
  writeFileSync(path.join(sources, 'answer.cc'), '#include "answer.h"\nint answer() { return 42; }\n');
  const home = path.join(folder, 'home');
  const objects = () => readdirSync(path.join(home, 'addon/objects')).sort();
  return { libtorch, sources, env: { ...process.env, MEZZO_HOME: home }, objects };
}

function load(addon: string): unknown {
  const module = { exports: {} };
  process.dlopen(module, addon, constants.dlopen.RTLD_NOW);
  return module.exports;
}

test('the sources become an addon, which is found again without compiling', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  assert.equal(findAddon({ libtorch, sources, env }), undefined);
  const progress: unknown[] = [];
  const addon = await compileAddon({
    libtorch,
    sources,
    env,
    onProgress: (step) => progress.push({ ...step }),
  });
  assert.deepEqual(load(addon), { answer: 42 });
  assert.deepEqual(progress, [
    { done: 0, total: 2 },
    { done: 1, total: 2 },
    { done: 2, total: 2 },
  ]);
  assert.equal(findAddon({ libtorch, sources, env }), addon);
  const { mtimeMs } = statSync(addon);
  assert.equal(await compileAddon({ libtorch, sources, env }), addon);
  assert.equal(statSync(addon).mtimeMs, mtimeMs);
});

test('an edit compiles the edited file only, an edited header all that include it', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  const compiled = async () => {
    let total = 0;
    const addon = await compileAddon({
      libtorch,
      sources,
      env,
      onProgress: (step) => {
        total = step.total;
      },
    });
    return { total, exports: load(addon) };
  };
  assert.deepEqual(await compiled(), { total: 2, exports: { answer: 42 } });
  writeFileSync(path.join(sources, 'answer.cc'), '#include "answer.h"\nint answer() { return 43; }\n');
  assert.deepEqual(await compiled(), { total: 1, exports: { answer: 43 } });
  writeFileSync(path.join(sources, 'answer.h'), '// the answer\nint answer();\n');
  assert.deepEqual(await compiled(), { total: 2, exports: { answer: 43 } });
});

test('another LibTorch version needs another addon', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  await compileAddon({ libtorch, sources, env });
  assert.equal(findAddon({ libtorch: { ...libtorch, version: '2.11.0' }, sources, env }), undefined);
});

test('files for newer instruction sets get their flags by name', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  const text = '#ifndef __AVX2__\n#error no AVX2\n#endif\nint answer() { return 2; }\n';
  writeFileSync(path.join(sources, 'answer.avx2.cc'), text);
  writeFileSync(path.join(sources, 'answer.cc'), '');
  assert.deepEqual(load(await compileAddon({ libtorch, sources, env })), { answer: 2 });
});

test('two processes that need the addon at once both get it', async (t) => {
  const { libtorch, sources, env, objects } = workshop(t);
  const module = new URL('../src/compile.js', import.meta.url).href;
  const script = `
    import { compileAddonSync } from '${module}';
    console.log(compileAddonSync(${JSON.stringify({ libtorch, sources })}));`;
  const one = () =>
    new Promise<string>((resolve) => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      child.stderr.pipe(process.stderr);
      child.on('close', () => resolve(output.trim()));
    });
  const [first, second] = await Promise.all([one(), one()]);
  assert.equal(first, findAddon({ libtorch, sources, env }));
  assert.equal(second, first);
  assert.equal(objects().length, 2);
});

test('a compile error shows what the compiler says first and leaves no addon', async (t) => {
  const { libtorch, sources, env, objects } = workshop(t);
  writeFileSync(path.join(sources, 'answer.cc'), 'int answer() { return forty_two; }\n');
  const program = 'g++';
  assert.throws(() => compileAddonSync({ libtorch, sources, env: { ...env, CXX: program } }), {
    name: 'MezzoError',
    code: 'ADDON_COMPILE',
    message:
      `${findExecutable(program)} could not make answer.cc:\n` +
      `  ${sources}/answer.cc:1:23: error: 'forty_two' was not declared in this scope`,
    hint: 'mezzo doctor shows what was found',
  });
  assert.equal(findAddon({ libtorch, sources, env }), undefined);
  assert.deepEqual(
    objects().map((name) => name.replace(/-.*/, '')),
    ['addon'],
  );
});

test('an error inside a header is shown with the line of the source that led there', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  const header = path.join(libtorch.path, 'include/twice.h');
  writeFileSync(header, 'template <class T> T twice(T x) { return x.nothing + x; }\n');
  writeFileSync(path.join(sources, 'answer.cc'), '#include <twice.h>\nint answer() { return twice(21); }\n');
  await assert.rejects(compileAddon({ libtorch, sources, env: { ...env, CXX: 'g++' } }), (error: Error) => {
    // Columns differ between compiler versions.
    assert.deepEqual(error.message.replace(/:\d+:(?= )/g, ':').split('\n'), [
      `${findExecutable('g++')} could not make answer.cc:`,
      `  ${sources}/answer.cc:2:   required from here`,
      `  ${header}:1: error: request for member 'nothing' in 'x', which is of non-class type 'int'`,
    ]);
    return true;
  });
});

test('no compiler: an error with the cure, unless the addon is there already', async (t) => {
  const { libtorch, sources, env } = workshop(t);
  const without = { ...env, PATH: '/nowhere', CXX: undefined };
  await assert.rejects(compileAddon({ libtorch, sources, env: without }), {
    name: 'MezzoError',
    code: 'COMPILER_MISSING',
    message:
      "Mezzo's addon must be compiled once and there is no C++ compiler.\n" +
      '  Found:    none of g++, c++, clang++ on PATH\n  Requires: a C++20 compiler\n' +
      '  Fix:      apt-get install g++ (Debian, Ubuntu), or set CXX to a C++20 compiler',
  });
  await assert.rejects(compileAddon({ libtorch, sources, env: { ...env, CXX: 'no-such-compiler' } }), {
    message:
      "Mezzo's addon must be compiled once and there is no C++ compiler.\n" +
      '  Found:    CXX=no-such-compiler, which is not a command here\n  Requires: a C++20 compiler\n' +
      '  Fix:      apt-get install g++ (Debian, Ubuntu), or set CXX to a C++20 compiler',
  });
  const addon = await compileAddon({ libtorch, sources, env });
  assert.equal(findAddon({ libtorch, sources, env: without }), addon);
});
