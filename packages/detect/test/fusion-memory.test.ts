import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, manualSeed, memory, scope, setNumThreads } from '@mezzo/torch';
import { DetectionLoss, syntheticBatch } from '../src/index.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { dualModel } from './fusion.ts';

setNumThreads(1);
const MIB = 2 ** 20;

/** Peak of live tensor bytes in a forward and backward of one picture, beyond what the weights take. */
function peakOf(fusion: string, imgsz: number, dtype: 'fp32' | 'bf16'): number {
  return scope(() => {
    manualSeed(0);
    const model = dualModel({ fusion }).train();
    model.to({ memoryFormat: 'channels_last' });
    const loss = new DetectionLoss({ nc: 3, strides: model.strides });
    const { images, rows } = syntheticBatch(1, 4, imgsz, 3);
    const input = images.float().div(255);
    memory.collectGarbage();
    const before = memory.stats().liveBytes;
    memory.resetPeak();
    const run = () => model.forward(input) as HeadMaps;
    const maps = dtype === 'fp32' ? run() : autocast({ device: 'cpu', dtype: 'bfloat16' }, run);
    loss.forward(maps, rows).total.backward();
    return memory.stats().peakBytes - before;
  });
}

for (const dtype of ['fp32', 'bf16'] as const) {
  test(`cross-attention trains at 832 px in ${dtype}: memory grows with the pixels, not with their square`, () => {
    const [small, large] = [416, 832].map((imgsz) => peakOf('cross-attention', imgsz, dtype));
    assert.ok(large! < 4.1 * small!, `${small! / MIB} MiB at 416 px, ${large! / MIB} MiB at 832 px`);
    // All 10,816 cells of P3 against each other would alone be 450 MiB for each modality.
    const plain = peakOf('mid', 832, dtype);
    assert.ok(large! < 1.6 * plain, `mid ${plain / MIB} MiB, cross-attention ${large! / MIB} MiB`);
    assert.ok(large! < 600 * MIB, `${large! / MIB} MiB`);
  });
}
