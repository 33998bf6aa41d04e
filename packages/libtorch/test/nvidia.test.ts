import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { absentLibraries, parseArchitectures } from '../src/gpu-use.ts';
import { idlestGpu } from '../src/idle-gpu.ts';
import { type NvidiaProbe, parseNvidia } from '../src/nvidia.ts';
import { recommendInstall } from '../src/plan-install.ts';

const fixture = (name: string) =>
  readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), 'utf8');
const recorded = (name: string) => JSON.parse(fixture(`machines/${name}.json`)) as NvidiaProbe;
const choice = (name: string) => recommendInstall(parseNvidia(recorded(name)));

test('the set to install follows card and driver', () => {
  assert.deepEqual(choice('t4'), {
    version: '2.15.0',
    variant: 'cuda',
    reason: 'Tesla T4; driver 580.95.05 (CUDA 13.0)',
  });
  assert.deepEqual(choice('v100'), {
    version: '2.10.0',
    variant: 'cuda',
    reason: 'Tesla V100-SXM2-16GB; driver 535.183.01 (CUDA 12.2)',
  });
  assert.deepEqual(choice('v100-driver-580'), {
    version: '2.10.0',
    variant: 'cuda',
    reason: 'Tesla V100-SXM2-16GB; driver 580.95.05 (CUDA 13.0)',
  });
  assert.deepEqual(choice('t4-driver-535'), {
    version: '2.10.0',
    variant: 'cuda',
    reason: 'Tesla T4; driver 535.183.01 (CUDA 12.2)',
  });
  assert.deepEqual(choice('p100'), {
    version: '2.15.0',
    variant: 'cpu',
    reason: 'no supported LibTorch has kernels for Tesla P100-PCIE-16GB',
  });
  assert.deepEqual(choice('driver-470'), {
    version: '2.15.0',
    variant: 'cpu',
    reason: 'NVIDIA driver 470.182.03 supports CUDA 11.4 at most',
  });
  assert.deepEqual(choice('driver-mismatch'), {
    version: '2.15.0',
    variant: 'cpu',
    reason: 'no NVIDIA GPU that answers',
  });
});

test('a V100 beside a newer card gets the line that drives both', () => {
  const { gpus, cuda, failure } = parseNvidia(recorded('t4'));
  const volta = parseNvidia(recorded('v100-driver-580')).gpus;
  assert.equal(recommendInstall({ gpus: [...gpus, ...volta], cuda, failure }).version, '2.10.0');
});

test('a Pascal card beside a T4 does not keep the T4 from the newest line', () => {
  const { gpus, cuda, failure } = parseNvidia(recorded('t4'));
  const pascal = parseNvidia(recorded('p100')).gpus;
  assert.deepEqual(recommendInstall({ gpus: [...pascal, ...gpus], cuda, failure }).version, '2.15.0');
});

test('processes are read with their memory, or without where it is not told', () => {
  const probe = recorded('h100-busy');
  const [gpu] = parseNvidia(probe).gpus;
  assert.deepEqual(gpu?.processes, [
    { pid: 41877, name: '/opt/conda/bin/python3.12', bytes: 71204 * 2 ** 20 },
    { pid: 52013, name: 'tritonserver', bytes: 4990 * 2 ** 20 },
  ]);
  const apps = { status: 0, stdout: `${gpu?.uuid}, 7, a,b.exe, [N/A]\n`, stderr: '' };
  assert.deepEqual(parseNvidia({ ...probe, apps }).gpus[0]?.processes, [
    { pid: 7, name: 'a,b.exe', bytes: null },
  ]);
});

test('a driver whose overview is silent is judged by its branch', () => {
  const probe = { ...recorded('v100'), overview: null };
  assert.equal(parseNvidia(probe).cuda, '12.0');
});

test('CUDA_VISIBLE_DEVICES is read as CUDA does', () => {
  const probe = recorded('two-h100-first-busy');
  const visible = (value: string | null) =>
    parseNvidia({ ...probe, visible: value }).gpus.map((gpu) => gpu.visible);
  assert.deepEqual(visible(null), [true, true]);
  assert.deepEqual(visible(''), [false, false]);
  assert.deepEqual(visible('-1'), [false, false]);
  assert.deepEqual(visible('1'), [false, true]);
  assert.deepEqual(visible('0,-1,1'), [true, false]);
  assert.deepEqual(visible('GPU-77b0'), [false, true]);
});

test('the idlest card is the one with the least memory in use, by its number in CUDA', () => {
  const probe = recorded('two-h100-first-busy');
  assert.equal(idlestGpu(probe), 1);
  assert.equal(idlestGpu({ ...probe, visible: '1,0' }), 0);
  assert.equal(idlestGpu({ ...probe, visible: '0' }), 0);
  assert.equal(idlestGpu({ ...probe, visible: '' }), null);
  assert.equal(idlestGpu({ ...probe, gpus: null }), null);
});

test('architectures: the last digit is the minor number', () => {
  assert.deepEqual(parseArchitectures('sm_75 sm_120 compute_90'), [
    { kind: 'sm', major: 7, minor: 5 },
    { kind: 'sm', major: 12, minor: 0 },
    { kind: 'compute', major: 9, minor: 0 },
  ]);
});

test('the libraries that ldd does not find, with what is there instead', () => {
  assert.deepEqual(absentLibraries(fixture('ldd-cuda-set.txt'), []), []);
  assert.deepEqual(
    absentLibraries('\tlibcublas.so.13 => not found\n', ['libcublas.so.12', 'libcublasLt.so.12']),
    [{ name: 'libcublas.so.13', instead: 'libcublas.so.12' }],
  );
  assert.equal(absentLibraries(fixture('ldd-cpu-set.txt'), ['libcudart.so.13']).length, 10);
});
