import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import {
  type PrecisionEvent,
  planFromPatterns,
  readPlan,
  uniformPlan,
  withRules,
  writePlan,
} from '@mezzo/precision';
import { autocast, keep, type nn, noGrad, scope, setNumThreads, type Tensor } from '@mezzo/torch';
import { BatchMemory } from '../src/engine/batch-memory.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { choosePrecision } from '../src/engine/precision.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { Islands } from '../src/precision/islands.ts';
import { type PrecisionOptions, planPrecision } from '../src/precision/plan.ts';
import { formulaModel, inputTensor } from './golden.ts';

setNumThreads(1);

const folder = mkdtempSync(path.join(tmpdir(), 'islands-'));
after(() => rmSync(folder, { recursive: true }));

describe('amp, fp32 and precision together', () => {
  const file = path.join(folder, 'plan.json');
  const byFile = { layers: 'model.9', dtype: 'float32', reason: 'pooling' } as const;
  writePlan(file, withRules(uniformPlan('float16'), [byFile]));
  const planned = (options: Partial<PrecisionOptions>) =>
    planPrecision({ amp: true, fp32: null, precision: null, channels_last: null, ...options }, 'cpu');

  test('without both a plan of one dtype; amp=auto is what amp=true chooses, and heals', async () => {
    for (const amp of [true, false, 'fp16', 'bf16'] as const) {
      const precision = choosePrecision(amp, 'cpu', null);
      assert.deepEqual(await planned({ amp }), {
        precision,
        plan: uniformPlan(precision.dtype),
        heals: false,
      });
    }
    const automatic = choosePrecision(true, 'cpu', null);
    assert.deepEqual(await planned({ amp: 'auto' }), {
      precision: { ...automatic, reason: `amp=auto: ${automatic.reason}` },
      plan: uniformPlan(automatic.dtype),
      heals: true,
    });
  });

  test('fp32= adds islands, also to those of a file', async () => {
    assert.deepEqual(
      (await planned({ amp: 'fp16', fp32: 'model.22.*' })).plan,
      planFromPatterns('float16', 'model.22.*'),
    );
    const both = await planned({ precision: file, fp32: 'model.22' });
    assert.deepEqual(
      both.plan.rules.map(({ layers, reason }) => [layers, reason]),
      [
        ['model.9', 'pooling'],
        ['model.22', 'by hand'],
      ],
    );
  });

  test('the base of a file decides; an amp that contradicts it is an error', async () => {
    const { precision } = await planned({ precision: file });
    assert.deepEqual(
      [precision.enabled, precision.dtype, precision.scaler, precision.reason],
      [true, 'float16', true, `the base of precision=${file}`],
    );
    assert.equal((await planned({ amp: 'auto', precision: file })).precision.dtype, 'float16');
    await assert.rejects(planned({ amp: 'bf16', precision: file }), {
      code: 'BAD_OPTION',
      message: `precision=${file} is a plan for fp16, but amp=bf16 was given`,
      hint: 'leave amp out: the base of the plan decides',
    });
  });

  test('a bf16 plan with fp16 layers needs a loss scale', async () => {
    const mixed = path.join(folder, 'mixed.json');
    writePlan(mixed, withRules(uniformPlan('bfloat16'), [{ ...byFile, dtype: 'float16' }]));
    assert.equal((await planned({ precision: mixed })).precision.scaler, true);
  });
});

describe('islands in YOLOv8n', () => {
  const nc = 4;
  const parts = () => {
    const model = formulaModel('yolov8n', { nc, gain: 1.54 }).train();
    return {
      model,
      average: model.clone().eval(),
      loss: new DetectionLoss({ nc, strides: model.strides }),
      device: 'cpu' as const,
      precision: choosePrecision('fp16', 'cpu', false),
      heals: true,
    };
  };
  const low = <T>(fn: () => T): T => autocast({ device: 'cpu', dtype: 'float16' }, fn);

  test('fp32=model.22: the head computes in float32, in training as in the average', () => {
    scope(() => {
      const made = parts();
      const islands = new Islands({ ...made, plan: planFromPatterns('float16', 'model.22') });
      const images = inputTensor('input', [1, 3, 64, 64]);
      const [maps, averaged] = noGrad(() =>
        low(() => [made.model.forward(images) as HeadMaps, made.average.predict(images).maps] as const),
      );
      for (const each of [...maps.box, ...maps.cls, ...averaged.box]) assert.equal(each.dtype, 'float32');
      islands.remove();
      const plain = noGrad(() => low(() => made.model.forward(images) as HeadMaps));
      assert.equal(plain.box[0]!.dtype, 'float16');
      const features: Tensor[] = [];
      const handle = made.model.model.at(22).registerForwardPreHook((_module, [given]) => {
        features.push(...(given as Tensor[]).map((feature) => keep(feature.float())));
        return undefined;
      });
      noGrad(() => low(() => made.model.forward(images)));
      handle.remove();
      const byHand = noGrad(() => made.model.head.forward(features));
      assert.ok(maps.box.every((map, i) => map.equal(byHand.box[i]!)));
    });
  });

  test('a pattern that names no layer of the model', () => {
    assert.throws(() => new Islands({ ...parts(), plan: planFromPatterns('float16', 'model.23.*') }), {
      code: 'PLAN_MISMATCH',
      message:
        "rule 1 of the precision plan: no layer matches 'model.23.*'; did you mean 'model.13' or 'model.2' or 'model.20'?",
    });
  });

  test('a block that overflows is found, moved, told and written down; a batch that is gone is stood in for', async () => {
    const made = parts();
    noGrad(() => {
      // What batch norm gives times 3e5: over 65504, and back to size in the next layer.
      const { bn } = made.model.model.at(3) as nn.Module & { bn: nn.BatchNorm2d };
      bn.weight!.mul_(3e5);
    });
    const islands = new Islands({ ...made, plan: uniformPlan('float16') });
    const memory = new BatchMemory('cpu').allocate(64 * 64 * 3);
    memory.bytes.forEach((_, i) => {
      memory.bytes[i] = (i * 37) % 256;
    });
    const batch = {
      memory,
      shape: [1, 64, 64, 3] as const,
      targets: Float32Array.of(0, 1, 0.4, 0.4, 0.5, 0.4),
    };
    const events: TrainEvent[] = [];
    const result = {
      window: 1,
      applied: false,
      scale: 1024,
      norm: null,
      culprits: [],
      culpritsByRank: [],
      largest: Number.NaN,
      magnitudes: new Float32Array(),
      names: [],
    };
    const context = {
      batch: null,
      emit: (event: TrainEvent) => events.push(event),
      run: { saveDir: folder },
    };
    islands.afterWindow(result, context);
    assert.equal(events.length, 0);
    islands.beforeBatch(batch as never);
    islands.afterWindow({ ...result, window: 2 }, { ...context, batch: batch as never });
    const [event] = events as PrecisionEvent[];
    assert.equal(events.length, 1);
    assert.equal(event!.layer, 'model.3.bn');
    assert.deepEqual(
      [event!.window, event!.from, event!.to, event!.evidence.op],
      [2, 'float16', 'float32', 'aten::batch_norm'],
    );
    const written = await readPlan(path.join(folder, 'precision.json'));
    assert.deepEqual(written, islands.plan);
    assert.equal(written.rules[0]!.layers, 'model.3.bn');

    const resumed = new Islands({ ...made, plan: uniformPlan('float16') });
    resumed.restore(JSON.parse(JSON.stringify(islands.state())));
    assert.deepEqual(resumed.plan, islands.plan);
    resumed.restore(undefined);
    assert.deepEqual(resumed.plan, islands.plan);
  });
});
