import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { diagnose } from '../src/doctor.ts';
import type { LibTorch } from '../src/libtorch.ts';
import { explainLoadError } from '../src/load.ts';
import { probeMachine } from '../src/probe.ts';
import { planSetup } from '../src/setup.ts';
import { fakeArchive, temporaryFolder } from './fake-libtorch.ts';

const INDEX = new URL('../src/index.js', import.meta.url).href;
const LIBTORCH: LibTorch = { path: '/opt/torch', version: '2.15.0+cu132', cuda: '13.2', origin: 'mezzo' };

/** Runs a script in a process of its own and parses what it prints. */
function script(body: string, env: NodeJS.ProcessEnv = {}): unknown {
  const text = `import * as mezzo from '${INDEX}';\nconst say = (value) => console.log(JSON.stringify(value));\n${body}`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
  });
  assert.equal(run.status, 0, run.stderr);
  return JSON.parse(run.stdout);
}

test('importing loads nothing and needs nothing; the first use says what is missing', (t) => {
  const home = temporaryFolder(t);
  const env = { MEZZO_HOME: home, MEZZO_PYTHON: '/nowhere/python3', LIBTORCH: '' };
  const error = script('try { mezzo.native(); } catch (e) { say({ ...e, message: e.message }); }', env);
  assert.deepEqual(error, {
    name: 'MezzoError',
    code: 'LIBTORCH_MISSING',
    hint: 'mezzo setup',
    message:
      'Could not load LibTorch.\n  Found:    /nowhere/python3: command not found\n            not set up yet\n' +
      '  Requires: LibTorch 2.10 to 2.15\n  Fix:      mezzo setup',
  });
});

test('loading keeps idle OpenMP threads from spinning, unless the user set the policy', () => {
  const body = 'mezzo.loadAddon(); say(process.env.OMP_WAIT_POLICY);';
  assert.equal(script(body, { OMP_WAIT_POLICY: undefined }), 'PASSIVE');
  assert.equal(script(body, { OMP_WAIT_POLICY: 'ACTIVE' }), 'ACTIVE');
});

test('one load a thread; the choice is announced', () => {
  const body = `
    const codes = [];
    mezzo.onNotice(({ code }) => codes.push(code));
    const before = mezzo.loadedAddon() === undefined;
    say([before, mezzo.loadAddon() === mezzo.loadAddon(), codes.filter((code) => code === 'LIBTORCH_CHOSEN')]);`;
  assert.deepEqual(script(body), [true, true, ['LIBTORCH_CHOSEN']]);
});

test('LibTorch itself agrees with the doctor', () => {
  const report = diagnose(probeMachine());
  assert.deepEqual(
    report.problems.filter(({ code }) => code.startsWith('LIBTORCH')),
    [],
  );
  assert.equal(script('say(mezzo.native().cpuCapability())'), report.cpu.capability);
  assert.ok(report.libtorch?.version.startsWith(String(script('say(mezzo.native().buildInfo().version)'))));
});

test('after set-up there is nothing to install or compile', () => {
  const plan = planSetup();
  assert.deepEqual({ install: plan.install, compiles: plan.compiles }, { install: null, compiles: false });
});

test('setup refuses a LIBTORCH that would hide what it installs', (t) => {
  const folder = fakeArchive(path.join(temporaryFolder(t), 'libtorch'), '1.12.1+cpu');
  assert.throws(() => planSetup({ env: { ...process.env, LIBTORCH: folder } }), {
    code: 'LIBTORCH_VERSION',
    hint: 'set LIBTORCH to another folder, or unset it and run mezzo setup',
  });
});

const EXPLAINED: [said: string, message: string][] = [
  [
    'libcudart.so.13: cannot open shared object file: No such file or directory',
    'Could not load LibTorch.\n  Found:    LibTorch 2.15.0+cu132 at /opt/torch, without libcudart.so.13\n' +
      '  Requires: the CUDA runtime libraries beside it, on CPU machines too: LibTorch links against them\n' +
      '  Fix:      mezzo setup --force',
  ],
  [
    'libgomp.so.1: cannot open shared object file: No such file or directory',
    'Could not load LibTorch.\n  Found:    LibTorch 2.15.0+cu132 at /opt/torch, without libgomp.so.1\n' +
      '  Requires: every library that LibTorch links against\n' +
      '  Fix:      mezzo setup --force, or set LIBTORCH to another folder',
  ],
  [
    "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by /opt/torch/lib/libc10.so)",
    'Could not load LibTorch.\n  Found:    LibTorch 2.15.0+cu132 at /opt/torch, on a system whose C library is ' +
      'older than GLIBC_2.28\n  Requires: glibc 2.28 or newer\n' +
      '  Fix:      use a newer system (Debian 10, Ubuntu 20.04 and later)',
  ],
  [
    "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /x.node)",
    'Could not load LibTorch.\n  Found:    LibTorch 2.15.0+cu132 at /opt/torch, on a system whose libstdc++ is ' +
      'older than GLIBCXX_3.4.32\n  Requires: the libstdc++ of the compiler that made the addon\n' +
      '  Fix:      apt-get install --only-upgrade libstdc++6, or set CXX to the compiler of this system',
  ],
  [
    '/x.node: undefined symbol: _ZN2at8autocast10is_enabledEv',
    'Could not load LibTorch.\n  Found:    LibTorch 2.15.0+cu132 at /opt/torch\n' +
      '            /x.node: undefined symbol: _ZN2at8autocast10is_enabledEv\n' +
      '  Requires: an addon and a LibTorch that fit each other\n' +
      '  Fix:      mezzo setup --force, which builds the addon anew',
  ],
];

for (const [said, message] of EXPLAINED) {
  test(`the loader's words are explained: ${said}`, () => {
    const cause = new Error(said);
    const error = explainLoadError(cause, LIBTORCH);
    assert.equal(error.code, 'LIBTORCH_BROKEN');
    assert.equal(error.message, message);
    assert.equal(error.cause, cause);
  });
}
