import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FAKE_NPM, FakeClone } from './fake-clone.ts';

function clone(...parameters: ConstructorParameters<typeof FakeClone>): FakeClone & Disposable {
  const made = new FakeClone(...parameters);
  return Object.assign(made, { [Symbol.dispose]: () => rmSync(made.root, { recursive: true }) });
}

function edit(path: string): void {
  writeFileSync(path, 'edited');
  const later = new Date(Date.now() + 5000);
  utimesSync(path, later, later);
}

const NPM = 'npm ci --no-audit --no-fund --loglevel=error';
const WORKING = { npm: FAKE_NPM, python3: '#!/bin/sh\nexit 0\n' };

test('a fresh clone: says what it does, does it once, and runs the command in the folder of the caller', async () => {
  using fresh = clone(['node', 'c++'], WORKING);
  const elsewhere = join(fresh.root, 'elsewhere');
  mkdirSync(elsewhere);
  const first = await fresh.run(['train', 'data=a b.yaml'], { cwd: elsewhere });
  assert.deepEqual(first, {
    code: 0,
    stdout: `${elsewhere} train data=a b.yaml\n`,
    stderr:
      `mezzo: installing the npm dependencies (about 70 MB to download, 150 MB on disk) into ${fresh.root}/node_modules\n` +
      `mezzo: compiling the TypeScript sources into ${fresh.root}/packages/*/dist\n`,
  });
  assert.deepEqual(fresh.calls, [NPM, 'tsc -b']);
  assert.deepEqual(await fresh.run(['help']), { code: 0, stdout: `${fresh.root} help\n`, stderr: '' });
  assert.deepEqual(fresh.calls, [NPM, 'tsc -b']);
});

test('compiles again after an edit, installs again after a change of package-lock.json', async () => {
  using fresh = clone(['node', 'c++'], WORKING);
  await fresh.run([]);
  edit(join(fresh.root, 'packages', 'cli', 'src', 'main.ts'));
  const { stderr } = await fresh.run([]);
  assert.equal(stderr, `mezzo: compiling the TypeScript sources into ${fresh.root}/packages/*/dist\n`);
  edit(join(fresh.root, 'package-lock.json'));
  await fresh.run([]);
  assert.deepEqual(fresh.calls, [NPM, 'tsc -b', 'tsc -b', NPM, 'tsc -b']);
});

test('sources that do not compile stop the start, and the next one tries again', async () => {
  using fresh = clone(['node', 'c++'], WORKING);
  writeFileSync(join(fresh.root, 'broken'), '');
  const { code, stdout, stderr } = await fresh.run([]);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /\na\.ts\(1,1\): error\nmezzo: the sources do not compile; the errors are above\n$/);
  rmSync(join(fresh.root, 'broken'));
  assert.equal((await fresh.run([])).code, 0);
});

test('two first starts at once: one installs and compiles, the other waits', async () => {
  using fresh = clone(['node', 'c++'], WORKING);
  const both = await Promise.all([fresh.run(['a']), fresh.run(['b'])]);
  assert.deepEqual(
    both.map(({ code, stdout }) => [code, stdout]),
    [
      [0, `${fresh.root} a\n`],
      [0, `${fresh.root} b\n`],
    ],
  );
  assert.deepEqual(fresh.calls, [NPM, 'tsc -b']);
  const waited = both.filter(({ stderr }) => stderr.includes('mezzo: waiting for another start'));
  assert.equal(waited.length, 1);
});

test('works through links, absolute and relative, and from the search path', async () => {
  using fresh = clone(['node', 'c++'], WORKING);
  const bin = join(fresh.root, 'bin');
  mkdirSync(bin);
  symlinkSync(join(fresh.root, 'mezzo'), join(bin, 'absolute'));
  symlinkSync('../mezzo', join(bin, 'relative'));
  symlinkSync('relative', join(bin, 'twice'));
  for (const name of ['absolute', 'relative', 'twice']) {
    const { stdout, code } = await fresh.run(['x'], { cwd: bin, launcher: join(bin, name) });
    assert.deepEqual([code, stdout], [0, `${bin} x\n`], name);
  }
  const { stdout } = await fresh.run(['-c', 'twice x'], {
    launcher: join(fresh.programs, 'sh'),
    env: { PATH: `${bin}:${fresh.programs}` },
  });
  assert.equal(stdout, `${fresh.root} x\n`);
});

test('names every missing program and the command that installs them', async () => {
  using bare = clone([], {});
  assert.deepEqual(await bare.run([]), {
    code: 1,
    stdout: '',
    stderr: [
      'mezzo: these are missing on this machine:',
      '  Node 20, 22 or 24 (node)',
      '  npm',
      '  Python 3 (python3)',
      '  pip',
      '  a C++ compiler (g++)',
      'mezzo: on Debian and Ubuntu: apt-get install -y nodejs npm python3 python3-pip g++',
      'mezzo: if that Node is older than 20: https://nodejs.org/en/download',
      '',
    ].join('\n'),
  });
});

test('an old Node, a Python without pip, and no Python asked for when LIBTORCH is set', async () => {
  using old = clone(['c++'], {
    npm: FAKE_NPM,
    node: '#!/bin/sh\n[ "$1" = --version ] && echo v18.20.4 || echo no\n',
    python3: '#!/bin/sh\nexit 1\n',
  });
  assert.match(
    (await old.run([])).stderr,
    /Node 20, 22 or 24 \(this is v18\.20\.4\)\n {2}pip \(python3 -m pip\)\n/,
  );
  using given = clone(['node', 'c++']);
  assert.equal((await given.run(['x'], { env: { LIBTORCH: '/opt/libtorch' } })).code, 0);
});

test('as root on Debian it installs what is missing after saying so', async () => {
  using bare = clone(['node', 'c++', 'chmod'], {
    npm: FAKE_NPM,
    id: '#!/bin/sh\necho 0\n',
    'apt-get': [
      '#!/bin/sh',
      'echo "apt-get $*" >>"$HOME/calls"',
      '[ "$1" = update ] || { printf "#!/bin/sh\\n" >"$HOME/programs/python3"; chmod +x "$HOME/programs/python3"; }',
    ].join('\n'),
  });
  const { code, stderr } = await bare.run(['x'], { env: { MEZZO_NO_APT: '' } });
  assert.equal(code, 0);
  assert.match(
    stderr,
    /^mezzo: these are missing on this machine:\n {2}Python 3 \(python3\)\n {2}pip\nmezzo: installing them: apt-get install -y python3 python3-pip\n/,
  );
  assert.deepEqual(bare.calls.slice(0, 2), [
    'apt-get update -qq',
    'apt-get install -y python3 python3-pip -qq',
  ]);
});

test('another platform gets one sentence', async () => {
  using mac = clone(['node', 'c++'], { ...WORKING, uname: '#!/bin/sh\necho Darwin arm64\n' });
  assert.deepEqual(await mac.run([]), {
    code: 1,
    stdout: '',
    stderr: 'mezzo: Mezzo runs on Linux on x86-64 processors, and this is Darwin arm64.\n',
  });
});
