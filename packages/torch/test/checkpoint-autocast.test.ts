import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  amp,
  autocast,
  checkpoint,
  checkpointSequential,
  cuda,
  grad,
  manualSeed,
  randn,
  scope,
  type Tensor,
} from '../src/index.ts';
import { numbersOf } from './assert-close.ts';
import { testOnBothThreads } from './both-threads.ts';
import { everything, network } from './checkpoint-network.ts';

for (const device of ['cpu', 'cuda'] as const) {
  const skip = device === 'cuda' && !cuda.isAvailable() ? 'needs a CUDA device' : false;
  const dtype = device === 'cpu' ? 'bfloat16' : 'float16';

  test(`F3: checkpoint_sequential under autocast: output low, gradients those of a plain run (${device})`, {
    skip,
  }, () => {
    scope(() => {
      const model = network().to(device);
      const input = randn([4, 6], { device }).requiresGrad_();
      const low = (forward: () => Tensor) => () => autocast({ device, dtype }, forward);
      const plain = everything(
        model,
        input,
        low(() => model.forward(input)),
      );
      for (const segments of [2, 3, 6]) {
        const output = low(() => checkpointSequential(model, segments, input))();
        assert.equal(output.dtype, dtype);
        assert.deepEqual(
          everything(
            model,
            input,
            low(() => checkpointSequential(model, segments, input)),
          ),
          plain,
        );
      }
    });
  });
}

testOnBothThreads(
  'F3: the forward has its autocast state again in the recomputation: dtype, off, cache, nothing',
  () => {
    scope(() => {
      const states: unknown[] = [];
      const w = randn([4, 4]).requiresGrad_();
      const mm = (x: Tensor) => {
        states.push([
          amp.isAutocastEnabled('cpu'),
          amp.getAutocastDtype('cpu'),
          native().autocastCacheEnabled(),
        ]);
        return x.mm(w);
      };
      const x = randn([4, 4]).requiresGrad_();
      const regions = [
        { device: 'cpu', dtype: 'float16' },
        { device: 'cpu', dtype: 'bfloat16', cache: false },
        { device: 'cpu', enabled: false },
      ] as const;
      const outputs = [
        ...regions.map((region) => autocast(region, () => checkpoint(mm, x))),
        checkpoint(mm, x),
      ];
      const forward = states.splice(0);
      assert.deepEqual(forward.slice(0, 2), [
        [true, 'float16', true],
        [true, 'bfloat16', false],
      ]);
      for (const [i, output] of outputs.entries()) {
        output.float().sum().backward();
        assert.deepEqual(states.splice(0), [forward[i]]);
      }
      assert.equal(amp.isAutocastEnabled('cpu'), false);
    });
  },
);

testOnBothThreads(
  'F3: a weight used before, inside and after checkpoints in one region gets its whole gradient',
  () => {
    scope(() => {
      manualSeed(8);
      const [x, w] = [randn([4, 4]).requiresGrad_(), randn([4, 4]).requiresGrad_()];
      const gradients = (segment: (fn: (x: Tensor) => Tensor, input: Tensor) => Tensor) => {
        const output = autocast({ device: 'cpu' }, () => {
          const before = x.mm(w);
          const inside = segment((a) => segment((b) => b.mm(w), a).mm(w), before);
          return inside.mm(w);
        });
        return grad(output.float().sum(), [x, w]).map(numbersOf);
      };
      const [plain, recomputed] = [gradients((fn, a) => fn(a)), gradients((fn, a) => checkpoint(fn, a))];
      for (const [i, values] of plain.entries()) {
        for (const [k, value] of values.entries()) {
          const distance = Math.abs(recomputed[i]![k]! - value);
          assert.ok(distance <= 0.02 * (1 + Math.abs(value)), `${recomputed[i]![k]} for ${value}`);
        }
      }
    });
  },
);
