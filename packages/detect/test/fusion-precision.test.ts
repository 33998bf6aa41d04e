import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, manualSeed, noGrad, scope, setNumThreads } from '@mezzo/torch';
import { CrossAttention } from '../src/fusion/cross-attention.ts';
import { GatedFusion } from '../src/fusion/gated-fusion.ts';
import { inputTensor, values } from './golden.ts';

setNumThreads(1);

/** Largest difference between a block in low precision and in fp32, over the largest value; maps of 1280 px at stride 8. */
function errorOf(
  block: GatedFusion | CrossAttention,
  dtype: 'bfloat16' | 'float16',
  loudness: number,
): number {
  return scope(() =>
    noGrad(() => {
      const named = (name: string) => inputTensor(name, [1, 32, 160, 160]).sub(0.5).mul(loudness);
      const maps = [named('own'), named('other')] as const;
      const exact = values(block.forward(maps));
      const low = autocast({ device: 'cpu', dtype }, () =>
        block.forward([maps[0].to(dtype), maps[1].to(dtype)]),
      );
      assert.equal(low.dtype, dtype, 'what follows stays in low precision');
      const found = values(low.float());
      const error = exact.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
      return error / exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    }),
  );
}

for (const [dtype, rounding] of [
  ['bfloat16', 2 ** -8],
  ['float16', 2 ** -11],
] as const) {
  test(`gates need no island: in ${dtype} a softmax over two is that of fp32 but for its rounding`, () => {
    scope(() => {
      const logits = inputTensor('logits', [1, 2, 160, 160]).sub(0.5).mul(40).to(dtype);
      const error = logits.softmax(1).float().sub(logits.float().softmax(1)).abs().max().item();
      assert.ok(Number(error) <= rounding / 2, String(error));
      manualSeed(1);
      const block = new GatedFusion(32, 2).eval();
      noGrad(() => block.gate.weight.normal_(0, 0.3));
      assert.ok(errorOf(block, dtype, 1) < 6 * rounding);
    });
  });

  test(`attention to 25,600 pixels is off by a few roundings in ${dtype}`, () => {
    manualSeed(1);
    const block = new CrossAttention(32, 32).eval();
    for (const loudness of [1, 100]) {
      const error = errorOf(block, dtype, loudness);
      assert.ok(error < 16 * rounding, `${loudness}: ${error / rounding} roundings`);
    }
  });
}
