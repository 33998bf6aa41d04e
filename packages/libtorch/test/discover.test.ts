import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { discoverLibTorch, requireLibTorch } from '../src/discover.ts';
import { MezzoError } from '../src/errors.ts';
import { mezzoHome } from '../src/folders.ts';
import { RECEIPT } from '../src/installs.ts';
import { askPython } from '../src/python.ts';
import { isSupported } from '../src/version.ts';
import { fakeArchive, fakeWheel, temporaryFolder } from './fake-libtorch.ts';

/** The interpreter itself, not the shim of a version manager. */
const PYTHON = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).trim();
const REAL = execFileSync('readlink', ['-f', PYTHON], { encoding: 'utf8' }).trim();

function installed(home: string, name: string, version: string, chosenAt: string): void {
  const site = path.join(home, 'libtorch', name);
  fakeWheel(path.join(site, 'torch'), version, '13.2');
  const receipt = { version, variant: name.split('-')[1], chosenAt, pins: '', bytesOnDisk: 0 };
  writeFileSync(path.join(site, RECEIPT), JSON.stringify(receipt));
}

/** A Python whose search path holds `torch` in `site`; importing it would fail. */
function pythonTorch(site: string, version: string): void {
  fakeWheel(path.join(site, 'torch'), version, '13.0');
  writeFileSync(path.join(site, 'torch/__init__.py'), 'raise SystemExit("torch was imported")\n');
}

function rejection(env: NodeJS.ProcessEnv): MezzoError {
  try {
    requireLibTorch(discoverLibTorch(env));
  } catch (error) {
    assert.ok(error instanceof MezzoError);
    return error;
  }
  assert.fail('a LibTorch was found');
}

test('supported is 2.10 to 2.15, whatever the patch level and the suffix', () => {
  const verdicts = ['2.9.1', '2.10.0', '2.15.9+cu132', '2.16.0', '1.13.1', '3.0', 'unknown'].map(isSupported);
  assert.deepEqual(verdicts, [false, true, true, false, false, false, false]);
});

test('LIBTORCH comes first and is binding', (t) => {
  const folder = temporaryFolder(t);
  const home = path.join(folder, 'home');
  installed(home, '2.15.0-cpu', '2.15.0+cu132', '2026-01-01');
  const archive = fakeArchive(path.join(folder, 'libtorch'), '2.11.0+cu128');
  const env = { LIBTORCH: archive, MEZZO_HOME: home, MEZZO_PYTHON: '/nowhere/python3' };
  assert.deepEqual(discoverLibTorch(env), {
    libtorch: { path: archive, version: '2.11.0+cu128', cuda: '12.8', origin: 'LIBTORCH' },
    candidates: [
      {
        origin: 'LIBTORCH',
        where: archive,
        version: '2.11.0+cu128',
        verdict: 'chosen',
        reason: 'LIBTORCH names it',
      },
    ],
  });
  assert.equal(
    rejection({ ...env, LIBTORCH: path.join(folder, 'absent') }).message,
    `Could not load LibTorch.\n  Found:    no such folder: ${folder}/absent (LIBTORCH)\n` +
      '  Requires: LibTorch 2.10 to 2.15\n  Fix:      set LIBTORCH to another folder, or unset it and run mezzo setup',
  );
});

test('LIBTORCH may name the site-packages folder as well', (t) => {
  const site = temporaryFolder(t);
  const torch = fakeWheel(path.join(site, 'torch'), '2.15.0+cpu');
  assert.equal(discoverLibTorch({ LIBTORCH: site }).libtorch?.path, torch);
});

test('a wrong version is named with what is required and the way out', (t) => {
  const folder = fakeArchive(path.join(temporaryFolder(t), 'libtorch'), '1.12.1+cpu');
  const error = rejection({ LIBTORCH: folder });
  assert.equal(error.code, 'LIBTORCH_VERSION');
  assert.equal(error.hint, 'set LIBTORCH to another folder, or unset it and run mezzo setup');
  assert.equal(
    error.message,
    `Could not load LibTorch.\n  Found:    LibTorch 1.12.1+cpu (LIBTORCH=${folder})\n` +
      '  Requires: LibTorch 2.10 to 2.15\n  Fix:      set LIBTORCH to another folder, or unset it and run mezzo setup',
  );
  assert.equal(
    discoverLibTorch({ LIBTORCH: folder, MEZZO_ANY_LIBTORCH: '1' }).libtorch?.version,
    '1.12.1+cpu',
  );
});

test('a folder that is no LibTorch says what it lacks', (t) => {
  const folder = fakeWheel(temporaryFolder(t), '2.15.0');
  rmSync(path.join(folder, 'lib/libtorch_cpu.so'));
  const { candidates } = discoverLibTorch({ LIBTORCH: folder });
  assert.equal(candidates[0]?.reason, `not a LibTorch folder: ${folder} lacks lib/libtorch_cpu.so`);
});

test("Python's torch comes before Mezzo's own copy and is not imported", (t) => {
  const folder = temporaryFolder(t);
  const [home, site] = [path.join(folder, 'home'), path.join(folder, 'site')];
  pythonTorch(site, '2.13.1+cu130');
  installed(home, '2.15.0-cpu', '2.15.0+cu132', '2026-01-01');
  const { libtorch, candidates } = discoverLibTorch({
    MEZZO_PYTHON: REAL,
    PYTHONPATH: site,
    MEZZO_HOME: home,
    HOME: folder,
  });
  assert.deepEqual(libtorch, {
    path: path.join(site, 'torch'),
    version: '2.13.1+cu130',
    cuda: '13.0',
    origin: 'python',
  });
  assert.deepEqual(
    candidates.map(({ origin, verdict }) => [origin, verdict]),
    [
      ['python', 'chosen'],
      ['mezzo', 'not needed'],
    ],
  );
});

test("Python's torch of another version is passed over, and the reason kept", (t) => {
  const folder = temporaryFolder(t);
  const [home, site] = [path.join(folder, 'home'), path.join(folder, 'site')];
  pythonTorch(site, '2.4.0+cu121');
  const env = { MEZZO_PYTHON: REAL, PYTHONPATH: site, MEZZO_HOME: home, HOME: folder };
  const error = rejection(env);
  assert.equal(error.code, 'LIBTORCH_VERSION');
  assert.equal(
    error.message,
    `Could not load LibTorch.\n  Found:    LibTorch 2.4.0+cu121 (${site}/torch)\n` +
      '  Requires: LibTorch 2.10 to 2.15\n  Fix:      mezzo setup',
  );
  installed(home, '2.15.0-cpu', '2.15.0+cu132', '2026-01-01');
  const { libtorch, candidates } = discoverLibTorch(env);
  assert.equal(libtorch?.origin, 'mezzo');
  assert.equal(candidates[0]?.reason, 'version 2.4.0+cu121 is outside 2.10 to 2.15');
});

test('without anything the error names every place and the cure', (t) => {
  const home = temporaryFolder(t);
  const error = rejection({ MEZZO_PYTHON: '/nowhere/python3', MEZZO_HOME: home });
  assert.equal(error.code, 'LIBTORCH_MISSING');
  assert.equal(error.hint, 'mezzo setup');
  assert.equal(
    error.message,
    'Could not load LibTorch.\n  Found:    /nowhere/python3: command not found\n            not set up yet\n' +
      '  Requires: LibTorch 2.10 to 2.15\n  Fix:      mezzo setup',
  );
});

test('of several own copies the one that setup chose last is used', (t) => {
  const home = temporaryFolder(t);
  installed(home, '2.15.0-cpu', '2.15.0+cu132', '2026-01-01T00:00:00Z');
  installed(home, '2.10.0-cpu', '2.10.0+cu128', '2026-02-01T00:00:00Z');
  const { libtorch } = discoverLibTorch({ MEZZO_PYTHON: '/nowhere/python3', MEZZO_HOME: home });
  assert.equal(libtorch?.version, '2.10.0+cu128');
});

test('an unfinished copy without a receipt is not one', (t) => {
  const home = temporaryFolder(t);
  fakeWheel(path.join(home, 'libtorch/2.15.0-cpu/torch'), '2.15.0+cu132');
  fakeWheel(path.join(home, 'libtorch/.draft-1/site/torch'), '2.15.0+cu132');
  assert.equal(rejection({ MEZZO_PYTHON: '/nowhere/python3', MEZZO_HOME: home }).code, 'LIBTORCH_MISSING');
});

test('the answer of Python is kept, and renewed when torch comes or goes', (t) => {
  const folder = temporaryFolder(t);
  const site = path.join(folder, 'site');
  mkdirSync(site);
  const env = { MEZZO_PYTHON: REAL, PYTHONPATH: site, MEZZO_HOME: path.join(folder, 'home'), HOME: folder };
  const where = () => {
    const answer = askPython(env);
    assert.ok(typeof answer !== 'string', String(answer));
    return answer;
  };
  assert.equal(where().torch, null);

  const [kept = ''] = readdirSync(path.join(folder, 'home/python'));
  const file = path.join(folder, 'home/python', kept);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"version":"[^"]*"/, '"version":"kept"'));
  assert.equal(where().version, 'kept');

  pythonTorch(site, '2.15.0');
  assert.equal(where().torch, path.join(site, 'torch'));
  assert.notEqual(where().version, 'kept');
  rmSync(path.join(site, 'torch'), { recursive: true });
  assert.equal(where().torch, null);
});

test('a script in the place of Python picks by folder, so its answer is not kept', (t) => {
  const folder = temporaryFolder(t);
  const shim = path.join(folder, 'python3');
  writeFileSync(shim, `#!/bin/sh\nexec ${REAL} "$@"\n`, { mode: 0o755 });
  const env = { PATH: `${folder}:/usr/bin:/bin`, MEZZO_HOME: path.join(folder, 'home'), HOME: folder };
  assert.notEqual(typeof askPython(env), 'string');
  assert.deepEqual(readdirSync(folder), ['python3']);
});

test('a virtual environment is asked by its own interpreter, though that is a link', (t) => {
  const folder = temporaryFolder(t);
  const env = { MEZZO_HOME: path.join(folder, 'home'), HOME: folder };
  for (const name of ['a', 'b']) {
    const venv = path.join(folder, name);
    const site = path.join(venv, `lib/${pythonFolder()}/site-packages`);
    mkdirSync(path.join(venv, 'bin'), { recursive: true });
    writeFileSync(path.join(venv, 'pyvenv.cfg'), `home = ${path.dirname(REAL)}\n`);
    symlinkSync(REAL, path.join(venv, 'bin/python3'));
    if (name === 'b') pythonTorch(site, '2.15.0');
    else mkdirSync(site, { recursive: true });
  }
  const ask = (name: string) => askPython({ ...env, MEZZO_PYTHON: path.join(folder, name, 'bin/python3') });
  const [a, b] = [ask('a'), ask('b')];
  assert.ok(typeof a !== 'string' && typeof b !== 'string');
  assert.equal(a.torch, null);
  assert.equal(b.torch, path.join(folder, 'b/lib', pythonFolder(), 'site-packages/torch'));
});

function pythonFolder(): string {
  const script = 'import sys; print("python%d.%d" % sys.version_info[:2])';
  return execFileSync(REAL, ['-c', script], { encoding: 'utf8' }).trim();
}

test('MEZZO_HOME moves the folder, XDG_CACHE_HOME its parent', () => {
  assert.equal(mezzoHome({ MEZZO_HOME: '/data/mezzo', XDG_CACHE_HOME: '/cache' }), '/data/mezzo');
  assert.equal(mezzoHome({ XDG_CACHE_HOME: '/cache' }), '/cache/mezzo');
  assert.match(mezzoHome({ XDG_CACHE_HOME: 'relative' }), /\/\.cache\/mezzo$/);
});
