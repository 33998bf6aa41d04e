import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type DoctorReport, diagnose } from '../src/doctor.ts';
import type { NvidiaProbe } from '../src/nvidia.ts';
import type { MachineProbe } from '../src/probe.ts';

const fixture = (name: string) =>
  readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), 'utf8');
const cards = (name: string) => JSON.parse(fixture(`machines/${name}.json`)) as NvidiaProbe;

const NO_GPU: NvidiaProbe = { driver: false, gpus: null, overview: null, apps: null, visible: null };
const ARCHITECTURES = {
  '2.15.0': 'sm_75 sm_80 sm_86 sm_90 sm_100 sm_120',
  '2.10.0': 'sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120',
};
const HOME = '/home/ada/.cache/mezzo';

/** A machine on which everything is in order: Mezzo's own copy with its CUDA libraries, built and loaded. */
function machine(
  nvidia: NvidiaProbe,
  version: keyof typeof ARCHITECTURES = '2.15.0',
  set = 'cuda',
): MachineProbe {
  const cuda = version === '2.15.0' ? '13.2' : '12.8';
  const path = `${HOME}/libtorch/${version}-${set}/torch`;
  const full = `${version}+cu${cuda.replace('.', '')}`;
  const reason = `installed by mezzo setup (${set} set)`;
  return {
    platform: { os: 'linux', arch: 'x64', musl: false, glibc: 'glibc 2.36' },
    node: { version: 'v20.20.2', executable: '/usr/bin/node' },
    compiler: { command: '/usr/bin/g++', version: 'g++ (Debian 12.2.0-14+deb12u1) 12.2.0' },
    python: { command: 'python3', version: 'Python 3.11.2', pip: 'pip 23.0.1' },
    discovery: {
      libtorch: { path, version: full, cuda, origin: 'mezzo' },
      candidates: [{ origin: 'mezzo', where: path, version: full, verdict: 'chosen', reason }],
    },
    home: HOME,
    cpu: { model: 'AMD EPYC 7763', flags: ['avx', 'avx2', 'fma'], maxIsa: null, cores: 8 },
    memory: { total: 64e9, available: 60e9 },
    nvidia,
    cuda: nvidia.driver
      ? {
          ldd: fixture(`ldd-${set}-set.txt`),
          beside: ['libcudart.so.13'],
          architectures: ARCHITECTURES[version],
        }
      : null,
    addon: {
      path: `${HOME}/addon/0123456789abcdef-01234567.node`,
      load: {
        report: {
          cpuCapability: 'AVX2',
          threads: 8,
          mkldnn: true,
          onednnBf16: false,
          onednnFp16: false,
          cudaRefused: nvidia.driver ? null : 'no NVIDIA driver on this machine',
          cudaDevices: nvidia.driver ? 1 : 0,
        },
      },
    },
  };
}

function change(probe: MachineProbe, difference: Partial<MachineProbe>): MachineProbe {
  return { ...probe, ...difference };
}

function summary({ ok, device, amp, problems }: DoctorReport) {
  return { ok, device, amp: amp.default, problems };
}

test('a T4 with a driver for CUDA 13 is used, in fp16', () => {
  const report = diagnose(machine(cards('t4')));
  assert.deepEqual(summary(report), { ok: true, device: 'cuda:0', amp: 'fp16', problems: [] });
  assert.deepEqual(report.gpus, [
    {
      name: 'Tesla T4',
      capability: '7.5',
      memory: 15360 * 2 ** 20,
      driver: '580.95.05',
      memoryUsed: 0,
      usable: true,
      obstacle: null,
    },
  ]);
  assert.equal(report.amp.reason, 'compute capability 7.5 has Tensor Cores for fp16');
  assert.equal(report.driverCuda, '13.0');
});

test('a V100 is used with LibTorch 2.10', () => {
  const report = diagnose(machine(cards('v100'), '2.10.0'));
  assert.deepEqual(summary(report), { ok: true, device: 'cuda:0', amp: 'fp16', problems: [] });
});

test('a V100 under LibTorch 2.15: its kernels are gone, even with a new driver', () => {
  assert.deepEqual(summary(diagnose(machine(cards('v100-driver-580')))), {
    ok: false,
    device: 'cpu',
    amp: 'fp32',
    problems: [
      {
        code: 'GPU_NO_KERNELS',
        message:
          'LibTorch 2.15.0+cu132 has no kernels for Tesla V100-SXM2-16GB, compute capability 7.0 ' +
          '(it has sm_75 sm_80 sm_86 sm_90 sm_100 sm_120). Meanwhile the CPU is used.',
        fix: 'mezzo setup, which installs LibTorch 2.10.0, the newest with kernels for it',
      },
    ],
  });
});

test('a V100 under the torch of Python: the own copy must be named, because Python comes first', () => {
  const probe = machine(cards('v100-driver-580'));
  const path = '/usr/lib/python3/dist-packages/torch';
  const libtorch = { path, version: '2.13.1+cu130', cuda: '13.0', origin: 'python' as const };
  const report = diagnose(change(probe, { discovery: { libtorch, candidates: [] } }));
  assert.equal(
    report.problems[0]?.fix,
    'mezzo setup and LIBTORCH=/home/ada/.cache/mezzo/libtorch/2.10.0-cuda/torch, which installs LibTorch 2.10.0, ' +
      'the newest with kernels for it',
  );
});

test('a Pascal card has no kernels anywhere in range', () => {
  assert.deepEqual(summary(diagnose(machine(cards('p100'), '2.10.0'))), {
    ok: false,
    device: 'cpu',
    amp: 'fp32',
    problems: [
      {
        code: 'GPU_NO_KERNELS',
        message:
          'LibTorch 2.10.0+cu128 has no kernels for Tesla P100-PCIE-16GB, compute capability 6.0 ' +
          '(it has sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120). Meanwhile the CPU is used.',
        fix:
          'use a card of compute capability 7.0 or newer (V100, T4, RTX 20 and later), or set LIBTORCH to a ' +
          'LibTorch 2.10 to 2.15 built for this one',
      },
    ],
  });
});

test('a driver for CUDA 11 is too old for every line', () => {
  assert.deepEqual(summary(diagnose(machine(cards('driver-470')))), {
    ok: false,
    device: 'cpu',
    amp: 'fp32',
    problems: [
      {
        code: 'DRIVER_TOO_OLD',
        message:
          'NVIDIA driver 470.182.03 supports CUDA 11.4 at most; LibTorch 2.15.0+cu132 is built with CUDA 13.2, ' +
          'which needs driver 580.65.06 or newer. Meanwhile the CPU is used.',
        fix: 'install NVIDIA driver 580.65.06 or newer (525.60.13 is enough for LibTorch 2.10.0), then mezzo setup',
      },
    ],
  });
  assert.equal(diagnose(machine(cards('driver-470'))).gpus[0]?.capability, null);
});

test('a driver for CUDA 12 is too old for LibTorch 2.15, and 2.10 is the way on', () => {
  const { problems, device } = diagnose(machine(cards('t4-driver-535')));
  assert.equal(device, 'cpu');
  assert.deepEqual(problems, [
    {
      code: 'DRIVER_TOO_OLD',
      message:
        'NVIDIA driver 535.183.01 supports CUDA 12.2 at most; LibTorch 2.15.0+cu132 is built with CUDA 13.2, ' +
        'which needs driver 580.65.06 or newer. Meanwhile the CPU is used.',
      fix: 'mezzo setup, which installs LibTorch 2.10.0 for CUDA 12.8; or install NVIDIA driver 580.65.06 or newer',
    },
  ]);
});

test('the CPU set beside a GPU: its CUDA libraries are missing', () => {
  assert.deepEqual(summary(diagnose(machine(cards('t4'), '2.15.0', 'cpu'))), {
    ok: false,
    device: 'cpu',
    amp: 'fp32',
    problems: [
      {
        code: 'CUDA_LIBRARIES_MISSING',
        message:
          'LibTorch 2.15.0+cu132 needs CUDA libraries that are not there: libcusparse.so.12, libcufft.so.12, ' +
          'libcufile.so.0, libcusparseLt.so.0 and 6 more. Meanwhile the CPU is used.',
        fix: 'mezzo setup, which installs LibTorch 2.15.0 with its CUDA libraries',
      },
    ],
  });
});

test('CUDA libraries of another major version are told from missing ones', () => {
  const probe = machine(cards('t4'));
  const path = '/opt/venv/lib/python3.12/site-packages/torch';
  const changed = change(probe, {
    discovery: {
      libtorch: { path, version: '2.14.0+cu130', cuda: '13.0', origin: 'python' },
      candidates: [],
    },
    cuda: {
      ldd: '\tlibcublas.so.13 => not found\n\tlibcudnn.so.9 => /opt/venv/lib/libcudnn.so.9\n',
      beside: ['libcublas.so.12', 'libcudnn.so.9'],
      architectures: ARCHITECTURES['2.15.0'],
    },
  });
  assert.deepEqual(diagnose(changed).problems, [
    {
      code: 'CUDA_LIBRARIES_VERSION',
      message:
        'LibTorch 2.14.0+cu130 needs CUDA libraries of another major version: libcublas.so.13 (there is ' +
        'libcublas.so.12). Meanwhile the CPU is used.',
      fix:
        'python3 -m pip install torch==2.14.0 (with its dependencies), or mezzo setup and ' +
        'LIBTORCH=/home/ada/.cache/mezzo/libtorch/2.15.0-cuda/torch, which installs LibTorch 2.15.0 with its CUDA libraries',
    },
  ]);
});

test('a GPU held by others is shared, and its holders are named', () => {
  assert.deepEqual(summary(diagnose(machine(cards('h100-busy')))), {
    ok: false,
    device: 'cuda:0',
    amp: 'fp16',
    problems: [
      {
        code: 'GPU_BUSY',
        message:
          'GPU 0 (NVIDIA H100 80GB HBM3) is held by /opt/conda/bin/python3.12 (process 41877, 74.7 GB), ' +
          'tritonserver (process 52013, 5.2 GB); 5.6 GB of 85.5 GB are free. Meanwhile it is shared.',
        fix: 'wait for these processes or end them, or train with device=cpu',
      },
    ],
  });
});

test('of two GPUs the free one is used', () => {
  const report = diagnose(machine(cards('two-h100-first-busy')));
  assert.equal(report.device, 'cuda:1');
  assert.match(report.problems[0]?.message ?? '', / Meanwhile GPU 1 is used\.$/);
});

test('a GPU in exclusive mode that another process holds is not used', () => {
  const report = diagnose(machine(cards('h100-exclusive')));
  assert.equal(report.device, 'cpu');
  assert.deepEqual(
    report.problems.map(({ message }) => message),
    [
      'GPU 0 (NVIDIA H100 80GB HBM3) is held by /opt/conda/bin/python3.12 (process 41877, 74.7 GB); it takes ' +
        'one process only (exclusive mode). Meanwhile the CPU is used.',
    ],
  );
});

test('a driver that does not answer', () => {
  assert.deepEqual(summary(diagnose(machine(cards('driver-mismatch')))), {
    ok: false,
    device: 'cpu',
    amp: 'fp32',
    problems: [
      {
        code: 'DRIVER_NOT_ANSWERING',
        message:
          'An NVIDIA driver is loaded but does not answer: Failed to initialize NVML: Driver/library version ' +
          'mismatch. Meanwhile the CPU is used.',
        fix: 'reboot, or install the NVIDIA driver anew: its kernel module and its libraries must be of one version',
      },
    ],
  });
});

test('a driver without nvidia-smi', () => {
  const { problems } = diagnose(machine({ ...NO_GPU, driver: true }));
  assert.deepEqual(problems, [
    {
      code: 'DRIVER_NOT_ANSWERING',
      message:
        'An NVIDIA driver is loaded but does not answer: nvidia-smi is not installed. Meanwhile the CPU is used.',
      fix: 'install nvidia-smi (package nvidia-utils of the driver; in containers the NVIDIA container toolkit)',
    },
  ]);
});

test('CUDA_VISIBLE_DEVICES that hides the only card', () => {
  const { problems, device } = diagnose(machine({ ...cards('t4'), visible: '' }));
  assert.equal(device, 'cpu');
  assert.deepEqual(problems, [
    {
      code: 'GPU_HIDDEN',
      message: 'CUDA_VISIBLE_DEVICES= hides every GPU (Tesla T4). Meanwhile the CPU is used.',
      fix: 'unset CUDA_VISIBLE_DEVICES',
    },
  ]);
});

test('CUDA_VISIBLE_DEVICES renumbers the cards', () => {
  const { problems, device } = diagnose(machine({ ...cards('two-h100-first-busy'), visible: '1' }));
  assert.deepEqual({ problems, device }, { problems: [], device: 'cuda:0' });
});

test('a CPU build beside a GPU', () => {
  const probe = machine(cards('t4'));
  const libtorch = { path: '/opt/libtorch', version: '2.12.0+cpu', cuda: null, origin: 'LIBTORCH' as const };
  const { problems } = diagnose(change(probe, { discovery: { libtorch, candidates: [] }, cuda: null }));
  assert.deepEqual(problems, [
    {
      code: 'LIBTORCH_CPU_BUILD',
      message: 'LibTorch 2.12.0+cpu is a CPU build, so Tesla T4 is not used. Meanwhile the CPU is used.',
      fix:
        'mezzo setup and LIBTORCH=/home/ada/.cache/mezzo/libtorch/2.15.0-cuda/torch, which installs LibTorch 2.15.0 ' +
        'with CUDA',
    },
  ]);
});

test('everything in order, but the CUDA runtime finds no device', () => {
  const probe = machine(cards('t4'));
  const { load } = probe.addon;
  assert.ok(load && 'report' in load);
  const report = { ...load.report, cudaDevices: 0 };
  const { problems } = diagnose(change(probe, { addon: { ...probe.addon, load: { report } } }));
  assert.deepEqual(problems, [
    {
      code: 'CUDA_UNAVAILABLE',
      message:
        'LibTorch 2.15.0+cu132 does not come to use Tesla T4: the CUDA runtime finds no device. Meanwhile the CPU ' +
        'is used.',
      fix:
        'reboot or reload the NVIDIA driver (nvidia-smi must work in the same shell); in containers start them ' +
        'with --gpus all',
    },
  ]);
});

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
