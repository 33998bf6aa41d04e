import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  amp,
  autocast,
  cuda,
  inferenceMode,
  manualSeed,
  nn,
  noGrad,
  randn,
  scope,
  setNumThreads,
  type Tensor,
} from '@mezzo/torch';
import {
  applyPlan,
  type PlanRule,
  planFromPatterns,
  resolvePlan,
  uniformPlan,
  withRules,
} from '../src/index.ts';

setNumThreads(1);

/** Takes and gives nested containers, and notes the dtypes that its operations see. */
class Probe extends nn.Module {
  readonly linear = new nn.Linear(4, 4);
  readonly seen: string[] = [];

  override forward(input: { x: Tensor; more: readonly [Tensor, Map<string, Tensor>]; note: string }) {
    const [mask, named] = input.more;
    const y = this.linear.forward(input.x);
    const z = named.get('z')!;
    this.seen.push(input.x.dtype, mask.dtype, z.dtype, y.dtype, z.exp().dtype);
    return { y, list: [z, mask], note: input.note };
  }
}

class Net extends nn.Module {
  readonly stem = new nn.Linear(4, 4);
  readonly probes = new nn.ModuleList([new Probe(), new Probe()]);
  readonly out = new nn.Linear(4, 2);

  override forward(x: Tensor): Tensor {
    let y = this.stem.forward(x);
    for (const probe of this.probes) {
      const more = [y.gt(0), new Map([['z', y]])] as const;
      y = probe.forward({ x: y, more, note: 'n' }).y;
    }
    return this.out.forward(y);
  }

  seen(): string[][] {
    return this.probes.map(({ seen }) => seen.splice(0));
  }
}

const half = <T>(fn: () => T): T => autocast({ device: 'cpu', dtype: 'float16' }, fn);
const rule = (layers: string, dtype: PlanRule['dtype'], ops?: string[]): PlanRule =>
  ops === undefined ? { layers, dtype, reason: 'test' } : { layers, ops, dtype, reason: 'test' };
const plan = (...rules: PlanRule[]) => withRules(uniformPlan('float16'), rules);
const LOW = ['float16', 'bool', 'float16', 'float16', 'float16'];
const FULL = ['float32', 'bool', 'float32', 'float32', 'float32'];

describe('which rule decides', () => {
  const layers = (...rules: PlanRule[]) =>
    Object.fromEntries(
      [...resolvePlan(new Net(), plan(...rules)).values()].map(({ name, dtype, island }) => [
        name === '' ? '(model)' : name,
        island ? `${dtype} island` : dtype,
      ]),
    );

  test('a rule holds for what is part of the layer, and only the outermost is an island', () => {
    assert.deepEqual(layers(rule('probes.0', 'float32')), {
      '(model)': 'float16',
      stem: 'float16',
      probes: 'float16',
      'probes.0': 'float32 island',
      'probes.0.linear': 'float32',
      'probes.1': 'float16',
      'probes.1.linear': 'float16',
      out: 'float16',
    });
  });

  test('a list of modules hands a rule down to its members', () => {
    const found = layers(rule('probes', 'float32'));
    assert.equal(found['probes.0'], 'float32 island');
    assert.equal(found['probes.1'], 'float32 island');
    assert.equal(found['probes.1.linear'], 'float32');
    assert.equal(found.out, 'float16');
  });

  test('the last matching rule wins, also inside another island', () => {
    assert.equal(
      layers(rule('probes.0', 'bfloat16'), rule('probes.*', 'float32'))['probes.0'],
      'float32 island',
    );
    const nested = layers(rule('*', 'float32'), rule('probes.1.linear', 'float16'));
    assert.deepEqual(
      [nested['(model)'], nested.stem, nested['probes.1'], nested['probes.1.linear']],
      ['float32 island', 'float32', 'float32', 'float16 island'],
    );
  });

  test('a rule that matches nothing offers the nearest names', () => {
    assert.throws(() => applyPlan(new Net(), plan(rule('stem', 'float32'), rule('prbes.0.*', 'float32'))), {
      name: 'PlanError',
      code: 'PLAN_MISMATCH',
      message:
        "rule 2 of the precision plan: no layer matches 'prbes.0.*'; did you mean 'probes.0' or 'probes.1'?",
      hint: "patterns are matched against whole module names, as in the model's state dict: model.22.*",
    });
  });

  test('ruleFor tells the rule of a layer and of an operation in it', () => {
    const [head, exp] = [rule('probes', 'float32'), rule('probes.1', 'bfloat16', ['aten::exp'])];
    const applied = applyPlan(new Net(), plan(head, exp));
    assert.equal(applied.ruleFor('probes.0.linear'), head);
    assert.equal(applied.ruleFor('probes.1', 'aten::exp'), exp);
    assert.equal(applied.ruleFor('probes.1', 'aten::log'), head);
    assert.equal(applied.ruleFor('stem'), null);
    assert.equal(applied.dtypeOf('stem'), 'float16');
    assert.equal(applied.dtypeOf('nowhere'), undefined);
  });
});

describe('islands at work', () => {
  const x = randn([3, 4]);

  test('fp32: inputs in nested containers are cast, autocast is off inside, the output stays float32', () => {
    scope(() => {
      const net = new Net();
      const applied = applyPlan(net, planFromPatterns('float16', 'probes.1'));
      const output = half(() => net.forward(x));
      assert.deepEqual(net.seen(), [LOW, FULL]);
      assert.equal(output.dtype, 'float16');
      const inside: Tensor[] = [];
      half(() => {
        const z = x.to('float16');
        const made = net.probes.at(1).forward({ x: z, more: [z.gt(0), new Map([['z', z]])], note: 'n' });
        inside.push(made.y, ...made.list);
        assert.equal(made.note, 'n');
      });
      assert.deepEqual(
        inside.map(({ dtype }) => dtype),
        ['float32', 'float32', 'bool'],
      );
      applied.remove();
    });
  });

  test('bf16 in an fp16 region: computes in bf16 and returns float32, which the fp16 region takes', () => {
    scope(() => {
      const net = new Net();
      applyPlan(net, plan(rule('probes.0', 'bfloat16')));
      const output = half(() => net.forward(x));
      const [first, second] = net.seen();
      assert.deepEqual(first, ['bfloat16', 'bool', 'bfloat16', 'bfloat16', 'bfloat16']);
      assert.deepEqual(second, ['float32', 'bool', 'float32', 'float16', 'float32']);
      assert.equal(output.dtype, 'float16');
    });
  });

  test('a weight used inside a bf16 island and outside of it is cast for each', () => {
    scope(() => {
      class Tied extends nn.Module {
        readonly outer = new nn.Linear(4, 4);
        readonly inner = new (class extends nn.Module {
          override forward(y: Tensor, weight: Tensor): Tensor {
            return nn.functional.linear(y, weight);
          }
        })();

        override forward(y: Tensor): [string, string, string] {
          const [before, inside] = [this.outer.forward(y), this.inner.forward(y, this.outer.weight)];
          return [before.dtype, inside.dtype, this.outer.forward(y).dtype];
        }
      }
      const tied = new Tied();
      applyPlan(tied, plan(rule('inner', 'bfloat16')));
      const wanted = tied.outer.weight.bfloat16().matmul(x.bfloat16().t()).t();
      assert.deepEqual(
        half(() => tied.forward(x)),
        ['float16', 'float32', 'float16'],
      );
      half(() => {
        tied.outer.forward(x);
        assert.ok(tied.inner.forward(x, tied.outer.weight).equal(wanted.float()));
      });
    });
  });

  test('an fp16 layer inside an fp32 island', () => {
    scope(() => {
      const net = new Net();
      applyPlan(net, plan(rule('*', 'float32'), rule('probes.1.linear', 'float16')));
      const output = half(() => net.forward(x));
      assert.deepEqual(net.seen(), [FULL, FULL]);
      assert.equal(output.dtype, 'float32');
      const reference = new Net();
      reference.loadStateDict(net.stateDict());
      assert.ok(!reference.forward(x).equal(output), 'the inner layer did compute in fp16');
    });
  });

  test('without a region around the model nothing changes, in a plan with a low base', () => {
    scope(() => {
      const net = new Net();
      const before = net.forward(x);
      net.seen();
      applyPlan(
        net,
        plan(rule('probes', 'float32'), rule('stem', 'bfloat16'), rule('*', 'bfloat16', ['aten::exp'])),
      );
      assert.ok(net.forward(x).equal(before));
      assert.deepEqual(net.seen(), [FULL, FULL]);
    });
  });

  test('a plan with base float32 opens regions for its low layers', () => {
    scope(() => {
      const net = new Net();
      applyPlan(net, withRules(uniformPlan('float32'), [rule('probes.0', 'bfloat16')]));
      const output = net.forward(x);
      const [first, second] = net.seen();
      assert.deepEqual(first, ['float32', 'bool', 'float32', 'bfloat16', 'float32']);
      assert.deepEqual(second, FULL);
      assert.equal(output.dtype, 'float32');
    });
  });

  test('gradients flow through an island to fp32 master weights, in training as under noGrad and in inference', () => {
    scope(() => {
      manualSeed(0);
      const net = new Net();
      const twin = new Net();
      twin.loadStateDict(net.stateDict());
      twin.eval().requiresGrad_(false);
      for (const model of [net, twin]) applyPlan(model, planFromPatterns('float16', 'probes,out'));
      const output = half(() => net.forward(x));
      output.sum().backward();
      for (const [name, { grad }] of net.namedParameters()) assert.equal(grad?.dtype, 'float32', name);
      const averaged = noGrad(() => half(() => twin.forward(x)));
      assert.ok(averaged.equal(output));
      assert.ok(inferenceMode(() => half(() => twin.forward(x).equal(averaged))));
    });
  });

  test('remove restores the model exactly, an error inside restores the thread', () => {
    scope(() => {
      const net = new Net();
      const before = half(() => net.forward(x));
      const descriptors = () =>
        [...net.modules()].map((module) => Object.getOwnPropertyDescriptor(module, 'forward'));
      const applied = applyPlan(net, plan(rule('probes.*', 'float32'), rule('*', 'float32', ['aten::exp'])));
      assert.throws(() => half(() => net.forward(randn([3, 5]))));
      assert.equal(amp.isAutocastEnabled('cpu'), false);
      applied.remove();
      assert.ok(descriptors().every((descriptor) => descriptor === undefined));
      assert.ok(half(() => net.forward(x)).equal(before));
    });
  });

  test('set moves from plan to plan, and leaves all as it was when the new one does not fit', () => {
    scope(() => {
      const net = new Net();
      const applied = applyPlan(net, plan(rule('probes.0', 'float32')));
      applied.set(plan(rule('probes.1', 'float32')));
      half(() => net.forward(x));
      assert.deepEqual(net.seen(), [LOW, FULL]);
      assert.throws(() => applied.set(plan(rule('nowhere', 'float32'))), { code: 'PLAN_MISMATCH' });
      half(() => net.forward(x));
      assert.deepEqual(net.seen(), [LOW, FULL]);
      assert.equal(applied.plan.rules[0]!.layers, 'probes.1');
    });
  });

  test('on CUDA: the same island', { skip: cuda.isAvailable() ? false : 'no CUDA device' }, () => {
    scope(() => {
      const net = new Net().to('cuda');
      applyPlan(net, planFromPatterns('float16', 'probes.1'));
      autocast({ device: 'cuda', dtype: 'float16' }, () => net.forward(x.to('cuda')));
      const [low, full] = net.seen();
      assert.deepEqual(low, ['float16', 'bool', 'float16', 'float16', 'float32']);
      assert.deepEqual(full, FULL);
    });
  });
});

describe('rules for single operations', () => {
  const x = randn([3, 4]);

  test('the operation computes in its dtype, the layer around it stays low', () => {
    scope(() => {
      const net = new Net();
      applyPlan(net, plan(rule('probes.1', 'float32', ['aten::exp', 'aten::linear'])));
      half(() => net.forward(x));
      assert.deepEqual(net.seen(), [LOW, ['float16', 'bool', 'float16', 'float32', 'float32']]);
    });
  });

  test('equal to casting by hand, with gradients', () => {
    scope(() => {
      class Exp extends nn.Layer {
        override forward(input: Tensor): Tensor {
          return input.exp();
        }
      }
      const layer = new Exp();
      const low = randn([8]).mul(4).to('float16').requiresGrad_();
      const byHand = low.detach().requiresGrad_();
      applyPlan(layer, plan(rule('*', 'float32', ['aten::exp'])));
      const output = half(() => layer.forward(low));
      const wanted = byHand.float().exp();
      assert.ok(output.equal(wanted));
      output.sum().backward();
      wanted.sum().backward();
      assert.equal(low.grad!.dtype, 'float16');
      assert.ok(low.grad!.equal(byHand.grad!));
    });
  });

  test('lists of tensors are cast, integers and float64 are not, and lower dtypes work too', () => {
    scope(() => {
      class Join extends nn.Module {
        override forward(...inputs: Tensor[]): Tensor[] {
          const [a, b, wide, index] = inputs as [Tensor, Tensor, Tensor, Tensor];
          return [a.at(index), ...[a.mul(b), wide.mul(2), a.add(wide)]];
        }
      }
      const join = new Join();
      applyPlan(join, plan(rule('*', 'bfloat16', ['aten::mul', 'aten::add', 'aten::index'])));
      const wide = randn([4]).double();
      const given = [randn([4]), randn([4]), wide, wide.argsort()];
      const made = half(() => join.forward(...given));
      assert.deepEqual(
        made.map(({ dtype }) => dtype),
        ['bfloat16', 'bfloat16', 'float64', 'float64'],
      );
    });
  });

  test('an operation that does not exist, or only writes in place, is refused', () => {
    assert.throws(() => applyPlan(new Net(), plan(rule('*', 'float32', ['aten::expp']))), {
      name: 'PlanError',
      code: 'PLAN_MISMATCH',
      message:
        /^the precision plan names the operation 'aten::expp', which LibTorch does not have; did you mean 'aten::exp/,
    });
    assert.throws(() => applyPlan(new Net(), plan(rule('*', 'float32', ['aten::exp_']))), {
      name: 'PlanError',
      code: 'PLAN_MISMATCH',
      message:
        "the precision plan names the operation 'aten::exp_', which writes in place: it works in its destination's dtype",
    });
  });
});
