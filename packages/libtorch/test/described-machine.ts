import { readFileSync } from 'node:fs';
import type { DoctorReport } from '../src/doctor.ts';
import type { NvidiaProbe } from '../src/nvidia.ts';
import type { MachineProbe } from '../src/probe.ts';

const fixture = (name: string) =>
  readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), 'utf8');
export const cards = (name: string) => JSON.parse(fixture(`machines/${name}.json`)) as NvidiaProbe;

export const NO_GPU: NvidiaProbe = { driver: false, gpus: null, overview: null, apps: null, visible: null };
export const ARCHITECTURES = {
  '2.15.0': 'sm_75 sm_80 sm_86 sm_90 sm_100 sm_120',
  '2.10.0': 'sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120',
};
export const HOME = '/home/ada/.cache/mezzo';

/** A machine on which everything is in order: Mezzo's own copy with its CUDA libraries, built and loaded. */
export function machine(
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

export function change(probe: MachineProbe, difference: Partial<MachineProbe>): MachineProbe {
  return { ...probe, ...difference };
}

export function summary({ ok, device, amp, problems }: DoctorReport) {
  return { ok, device, amp: amp.default, problems };
}
