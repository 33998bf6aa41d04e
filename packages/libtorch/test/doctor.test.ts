import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from '../src/doctor.ts';
import { cards, change, HOME, machine, NO_GPU } from './described-machine.ts';

test('a fresh machine: no LibTorch, no compiler, no pip', () => {
  const probe = machine(NO_GPU);
  const report = diagnose(
    change(probe, {
      compiler: null,
      python: { command: 'python3', version: 'Python 3.11.2', pip: null },
      addon: { path: null, load: null },
      discovery: {
        candidates: [
          {
            origin: 'python',
            where: '/usr/bin/python3',
            verdict: 'rejected',
            reason: 'Python 3.11.2 has no torch',
          },
          { origin: 'mezzo', where: `${HOME}/libtorch`, verdict: 'rejected', reason: 'not set up yet' },
        ],
      },
    }),
  );
  assert.equal(report.libtorch, null);
  assert.deepEqual(report.problems, [
    {
      code: 'LIBTORCH_MISSING',
      message:
        'There is no LibTorch: Python 3.11.2 has no torch; not set up yet. Meanwhile nothing can be trained.',
      fix: 'mezzo setup',
    },
    {
      code: 'COMPILER_MISSING',
      message: 'There is no C++ compiler, and the addon is not built yet. Meanwhile nothing can be trained.',
      fix: 'apt-get install g++, or set CXX to a C++20 compiler',
    },
    {
      code: 'PIP_MISSING',
      message: 'Python 3.11.2 (python3) has no pip, which mezzo setup installs LibTorch with.',
      fix: 'apt-get install python3-pip, or set MEZZO_PYTHON to a Python with pip',
    },
  ]);
});

test('no Python at all matters only while LibTorch is missing', () => {
  const python = { command: 'python3', version: null, pip: null };
  assert.deepEqual(diagnose(change(machine(NO_GPU), { python })).problems, []);
  const codes = diagnose(change(machine(NO_GPU), { python, discovery: { candidates: [] } })).problems;
  assert.deepEqual(codes.at(-1), {
    code: 'PYTHON_MISSING',
    message: 'There is no python3, which mezzo setup installs LibTorch with.',
    fix: 'apt-get install python3 python3-pip, or set MEZZO_PYTHON',
  });
});

test('a LibTorch of the wrong version', () => {
  const where = '/opt/libtorch';
  const reason = 'version 1.12.1+cpu is outside 2.10 to 2.15';
  const { problems } = diagnose(
    change(machine(NO_GPU), {
      discovery: {
        candidates: [{ origin: 'LIBTORCH', where, version: '1.12.1+cpu', verdict: 'rejected', reason }],
      },
    }),
  );
  assert.deepEqual(problems[0], {
    code: 'LIBTORCH_VERSION',
    message:
      'Found LibTorch 1.12.1+cpu (/opt/libtorch); Mezzo requires 2.10 to 2.15. Meanwhile nothing can be trained.',
    fix: 'set LIBTORCH to another folder, or unset it and run mezzo setup',
  });
});

test('an addon that does not load', () => {
  const probe = machine(NO_GPU);
  const failure = {
    code: 'LIBTORCH_BROKEN',
    message: 'Could not load LibTorch.',
    hint: 'mezzo setup --force',
  };
  assert.deepEqual(diagnose(change(probe, { addon: { path: '/x.node', load: { failure } } })).problems, [
    {
      code: 'LIBTORCH_BROKEN',
      message: 'Could not load LibTorch.\nMeanwhile nothing can be trained.',
      fix: 'mezzo setup --force',
    },
  ]);
});

test('musl, another system and an old Node', () => {
  const musl = { os: 'linux', arch: 'x64', musl: true, glibc: null };
  assert.deepEqual(diagnose(change(machine(NO_GPU), { platform: musl })).problems, [
    {
      code: 'MUSL_UNSUPPORTED',
      message:
        'Mezzo runs on Linux on x86-64 with glibc 2.28 or newer (Debian 10, Ubuntu 20.04 and later); this is linux ' +
        'x64 with musl, for which there is no LibTorch. Meanwhile nothing can be trained.',
      fix: 'run Mezzo on such a system, or in a container of one (debian:12, ubuntu:24.04)',
    },
  ]);
  const mac = { os: 'darwin', arch: 'arm64', musl: false, glibc: null };
  assert.deepEqual(
    diagnose(
      change(machine(NO_GPU), { platform: mac, node: { version: 'v18.19.0', executable: '/usr/bin/node' } }),
    ).problems.map(({ code }) => code),
    ['PLATFORM_UNSUPPORTED', 'NODE_TOO_OLD'],
  );
});

test('a CPU with native bf16 uses it, unless oneDNN says no or the user forbids it', () => {
  const probe = machine(NO_GPU);
  const flags = ['avx512f', 'avx512_bf16', 'amx_bf16'];
  const withFlags = (maxIsa: string | null, onednnBf16: boolean | null) => {
    assert.ok(probe.addon.load && 'report' in probe.addon.load);
    const report = { ...probe.addon.load.report, onednnBf16 };
    const cpu = { ...probe.cpu, flags, maxIsa };
    return diagnose(change(probe, { cpu, addon: { ...probe.addon, load: { report } } }));
  };
  const plain = withFlags(null, true);
  assert.deepEqual(plain.amp, {
    default: 'bf16',
    reason: 'this CPU computes in bf16 natively (amx_bf16, avx512_bf16)',
  });
  assert.equal(plain.cpu.bf16, true);
  assert.deepEqual(withFlags('AVX512_CORE', true).amp, {
    default: 'fp32',
    reason: 'this CPU has no native bf16 (ONEDNN_MAX_CPU_ISA=AVX512_CORE)',
  });
  assert.deepEqual(withFlags(null, false).amp, {
    default: 'fp32',
    reason: 'this CPU has no native bf16 (oneDNN does not support it here)',
  });
});

test('the report is plain JSON with the promised keys', () => {
  const report = diagnose(machine(cards('t4')));
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
  for (const key of ['ok', 'node', 'libtorch', 'cpu', 'gpus', 'amp', 'problems']) assert.ok(key in report);
});
