import assert from 'node:assert/strict';
import { availableParallelism, totalmem } from 'node:os';
import { test } from 'node:test';
import { ampDefault } from '../src/amp-default.ts';
import { availableMemory } from '../src/available-memory.ts';
import { availableCores, cpuPrecision, parseCpuInfo } from '../src/cpu.ts';

const SAPPHIRE_RAPIDS = `processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_bf16 avx512_fp16 amx_tile amx_int8

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
`;

test('model and flags are read from cpuinfo', () => {
  const { model, flags } = parseCpuInfo(SAPPHIRE_RAPIDS);
  assert.equal(model, 'Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz');
  assert.deepEqual(cpuPrecision(flags), { bf16: true, fp16: true, because: 'amx_bf16, avx512_bf16' });
  assert.deepEqual(parseCpuInfo(''), { model: 'unknown', flags: [] });
});

test('AVX-512 alone is not native bf16', () => {
  assert.deepEqual(cpuPrecision(['avx2', 'avx512f', 'avx512bw']), {
    bf16: false,
    fp16: false,
    because: 'neither amx_bf16 nor avx512_bf16',
  });
});

test("oneDNN's own limit counts", () => {
  const { flags } = parseCpuInfo(SAPPHIRE_RAPIDS);
  assert.deepEqual(cpuPrecision(flags, 'avx512_core_bf16'), {
    bf16: true,
    fp16: false,
    because: 'amx_bf16, avx512_bf16',
  });
  assert.deepEqual(cpuPrecision(flags, 'AVX2'), {
    bf16: false,
    fp16: false,
    because: 'ONEDNN_MAX_CPU_ISA=AVX2',
  });
});

test('cores and memory stay within what the machine has', () => {
  assert.ok(availableCores() >= 1 && availableCores() <= availableParallelism());
  assert.ok(availableMemory() > 0 && availableMemory() <= totalmem());
});

test('amp=true: fp16 and the scaler from capability 7.0 on, bf16 where the CPU has it, else fp32', () => {
  assert.deepEqual(ampDefault({ type: 'cuda', capability: [7, 0] }), {
    precision: 'fp16',
    dtype: 'float16',
    scaler: true,
    reason: 'compute capability 7.0 has Tensor Cores for fp16',
  });
  assert.deepEqual(ampDefault({ type: 'cuda', capability: [6, 1] }), {
    precision: 'fp32',
    dtype: 'float32',
    scaler: false,
    reason: 'compute capability 6.1 has no Tensor Cores (7.0 and newer have)',
  });
  assert.deepEqual(ampDefault({ type: 'cpu', bf16: true, because: 'amx_bf16' }), {
    precision: 'bf16',
    dtype: 'bfloat16',
    scaler: false,
    reason: 'this CPU computes in bf16 natively (amx_bf16)',
  });
  assert.deepEqual(ampDefault({ type: 'cpu', bf16: false, because: 'neither amx_bf16 nor avx512_bf16' }), {
    precision: 'fp32',
    dtype: 'float32',
    scaler: false,
    reason: 'this CPU has no native bf16 (neither amx_bf16 nor avx512_bf16)',
  });
});
