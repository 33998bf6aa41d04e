import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from '../src/doctor.ts';
import { ARCHITECTURES, cards, change, machine, NO_GPU, summary } from './described-machine.ts';

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
