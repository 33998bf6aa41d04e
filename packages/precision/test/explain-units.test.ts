import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, type ObservedOp, type TensorNote, unitUse } from '@mezzo/precision';

const note = (shape: number[], dtype: TensorNote['dtype'], layout: TensorNote['layout'] = 'channels_last') =>
  ({ shape, dtype, layout }) as TensorNote;
const observed = (op: string, ...computed: TensorNote[]) => ({ op, computed }) as ObservedOp;
const gpu = (capability: [number, number], tf32 = false): Machine => ({
  device: 'cuda',
  name: 'GPU',
  capability,
  tf32: { conv: tf32, matmul: tf32 },
});
const cpu = (...flags: string[]): Machine => ({
  device: 'cpu',
  name: 'CPU',
  flags,
  bf16: flags.some((flag) => flag.endsWith('bf16')),
  fp16: flags.some((flag) => flag.endsWith('fp16')),
});
const conv = (channels: number, out: number, dtype: TensorNote['dtype'], layout?: TensorNote['layout']) =>
  observed('aten::conv2d', note([2, channels, 8, 8], dtype, layout), note([out, channels, 3, 3], dtype));

test('Tensor Cores: used, used after a copy, or not, and why', () => {
  const cases: [ObservedOp, Machine, string, string[]][] = [
    [conv(16, 32, 'float16'), gpu([7, 0]), 'yes', []],
    [
      conv(16, 32, 'float16', 'contiguous'),
      gpu([8, 0]),
      'converted',
      ['the input is contiguous (NCHW): cuDNN copies it into channels_last'],
    ],
    [conv(3, 16, 'float16'), gpu([8, 0]), 'no', ['3 input channels, not a multiple of 8']],
    [
      conv(3, 20, 'float16'),
      gpu([8, 0]),
      'no',
      ['3 input channels, not a multiple of 8', '20 output channels, not a multiple of 8'],
    ],
    [conv(16, 16, 'bfloat16'), gpu([7, 5]), 'no', ['bfloat16 needs compute capability 8.0']],
    [conv(16, 16, 'float32'), gpu([9, 0]), 'no', ['computed in float32, and TF32 is off']],
    [conv(12, 16, 'float32'), gpu([9, 0], true), 'yes', []],
    [conv(16, 16, 'float16'), gpu([6, 1]), 'no', ['compute capability 6.1 has none (they came with 7.0)']],
    [conv(16, 16, 'float64'), gpu([8, 0]), 'no', ['computed in float64']],
    [
      observed('aten::conv2d', note([1, 32, 8, 8], 'float16'), note([32, 1, 3, 3], 'float16')),
      gpu([8, 0]),
      'no',
      ['depthwise: a group has one channel'],
    ],
    [
      observed('aten::linear', note([4, 30], 'float16'), note([16, 30], 'float16')),
      gpu([8, 0]),
      'no',
      ['30 inner size, not a multiple of 8'],
    ],
    [observed('aten::mm', note([4, 32], 'float16'), note([32, 16], 'float16')), gpu([8, 0]), 'yes', []],
  ];
  for (const [op, machine, use, reasons] of cases) {
    assert.deepEqual(unitUse(op, machine), { unit: 'Tensor Cores', use, reasons });
  }
  assert.equal(unitUse(observed('aten::silu', note([1], 'float16')), gpu([8, 0])), null);
});

test("the CPU's units: AMX, AVX512-BF16, or none, and why", () => {
  assert.deepEqual(unitUse(conv(16, 32, 'bfloat16'), cpu('amx_bf16', 'avx512_bf16')), {
    unit: 'AMX',
    use: 'yes',
    reasons: [],
  });
  assert.deepEqual(unitUse(conv(16, 32, 'bfloat16', 'contiguous'), cpu('avx512_bf16')), {
    unit: 'AVX512-BF16',
    use: 'converted',
    reasons: ['the input is contiguous (NCHW): oneDNN reorders it'],
  });
  assert.deepEqual(unitUse(conv(3, 16, 'bfloat16'), cpu('amx_bf16')), {
    unit: 'AMX',
    use: 'yes',
    reasons: ['3 input channels fill blocks of 16 in part'],
  });
  assert.deepEqual(unitUse(conv(16, 16, 'bfloat16'), cpu()), {
    unit: 'AMX',
    use: 'no',
    reasons: ['neither amx_bf16 nor avx512_bf16: bfloat16 is emulated'],
  });
  assert.deepEqual(unitUse(conv(16, 16, 'float32'), cpu('amx_bf16')), {
    unit: 'AMX',
    use: 'no',
    reasons: ['computed in float32, by the vector units'],
  });
});
