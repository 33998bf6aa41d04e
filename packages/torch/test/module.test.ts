import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nn, ones, scope, type Tensor, TorchError, tensor, zeros } from '../src/index.ts';
import { numbersOf } from './assert-close.ts';

/** A block with a shared layer, a list, a dictionary and a buffer that is not saved. */
class Block extends nn.Module {
  readonly conv = new nn.Conv2d(2, 2, 1);
  readonly bn = new nn.BatchNorm2d(2);
  readonly again = this.conv;
  readonly scale = new nn.Parameter(ones([2]));
  readonly list = new nn.ModuleList([new nn.Linear(2, 2), new nn.Identity()]);
  readonly named = new nn.ModuleDict({ head: new nn.Linear(2, 1, { bias: false }) });
  readonly act: nn.Layer = new nn.SiLU();
  declare saved: Tensor;
  declare scratch: Tensor;
  note = 'not state';

  constructor() {
    super();
    this.registerBuffer('saved', zeros([1]));
    this.registerBuffer('scratch', zeros([1]), { persistent: false });
  }

  override forward(x: Tensor): Tensor {
    return this.act.forward(this.bn.forward(this.conv.forward(x)));
  }
}

const PARAMETERS = [
  'scale',
  'conv.weight',
  'conv.bias',
  'bn.weight',
  'bn.bias',
  'list.0.weight',
  'list.0.bias',
  'named.head.weight',
];

describe('the tree', () => {
  test('parameters and buffers are found once, own ones before those of children', () => {
    const block = new Block();
    assert.deepEqual(
      Array.from(block.namedParameters(), ([name]) => name),
      PARAMETERS,
    );
    assert.equal(block.parameters().length, PARAMETERS.length);
    assert.deepEqual(
      Array.from(block.namedBuffers(), ([name]) => name),
      ['saved', 'scratch', 'bn.running_mean', 'bn.running_var', 'bn.num_batches_tracked'],
    );
  });

  test('modules are found once, parents first', () => {
    const block = new Block();
    assert.deepEqual(
      Array.from(block.namedModules(), ([name, module]) => `${name}:${module.constructor.name}`),
      [
        ':Block',
        'conv:Conv2d',
        'bn:BatchNorm2d',
        'list:ModuleList',
        'list.0:Linear',
        'list.1:Identity',
        'named:ModuleDict',
        'named.head:Linear',
        'act:SiLU',
      ],
    );
    assert.deepEqual(
      Array.from(block.namedChildren(), ([name]) => name),
      ['conv', 'bn', 'list', 'named', 'act'],
    );
    assert.equal([...block.children()].length, 5);
    assert.equal([...block.modules()].length, 9);
  });

  test('apply visits children before their parent', () => {
    const seen: string[] = [];
    new nn.Sequential(new nn.ReLU(), new nn.Sequential(new nn.SiLU())).apply((module) => {
      seen.push(module.constructor.name);
    });
    assert.deepEqual(seen, ['ReLU', 'SiLU', 'Sequential', 'Sequential']);
  });

  test('a replaced layer takes part from then on', () => {
    const model = new nn.Sequential(new nn.Linear(1, 1), new nn.ReLU());
    model.replace(-1, new nn.Linear(1, 2, { bias: false }));
    model.append(new nn.Identity());
    assert.deepEqual(Object.keys(model.stateDict()), ['0.weight', '0.bias', '1.weight']);
    assert.equal(model.length, 3);
    assert.equal(model.at(-1).constructor.name, 'Identity');
    assert.deepEqual(
      [...model].map((layer) => layer.constructor.name),
      ['Linear', 'Linear', 'Identity'],
    );
    assert.throws(() => model.at(3), {
      name: 'RangeError',
      message: 'index 3 is out of range for 3 modules',
    });
  });

  test('containers', () => {
    const list = new nn.ModuleList([new nn.Linear(1, 1)]).append(new nn.Linear(1, 2));
    assert.deepEqual(
      list.map((layer) => layer.outFeatures),
      [1, 2],
    );
    const dict = new nn.ModuleDict({ a: new nn.Identity() }).set('b', new nn.ReLU());
    assert.deepEqual([...dict.keys()], ['a', 'b']);
    assert.equal(dict.has('c'), false);
    assert.equal(dict.get('b').constructor.name, 'ReLU');
    assert.throws(() => dict.get('c'), { message: "ModuleDict has no module 'c'" });
    assert.throws(() => list.forward(), { message: 'ModuleList has no forward: call its modules' });
  });

  test('prints like PyTorch', () => {
    assert.equal(
      String(new nn.ModuleDict({ a: new nn.Sequential(new nn.ReLU({ inplace: true })) })),
      'ModuleDict(\n  (a): Sequential(\n    (0): ReLU(inplace=True)\n  )\n)',
    );
  });
});

describe('state', () => {
  test('PyTorch’s names and order; shared layers under every name, what is not persistent under none', () => {
    assert.deepEqual(Object.keys(new Block().stateDict()), [
      'scale',
      'saved',
      'conv.weight',
      'conv.bias',
      'bn.weight',
      'bn.bias',
      'bn.running_mean',
      'bn.running_var',
      'bn.num_batches_tracked',
      'again.weight',
      'again.bias',
      'list.0.weight',
      'list.0.bias',
      'named.head.weight',
    ]);
  });

  test('entries share memory with the module and carry no graph', () => {
    const layer = new nn.Linear(2, 2);
    const { weight } = layer.stateDict();
    assert.equal(weight?.sharesStorage(layer.weight), true);
    assert.equal(weight?.requiresGrad, false);
  });

  test('loading copies values into the same parameters', () => {
    const [from, to] = [new Block(), new Block()];
    const before = to.parameters();
    assert.deepEqual(to.loadStateDict(from.stateDict()), { missingKeys: [], unexpectedKeys: [] });
    to.parameters().forEach((parameter, i) => {
      assert.equal(parameter, before[i]);
      assert.equal(parameter.equal(from.parameters()[i]!), true);
      assert.equal(parameter.requiresGrad, true);
      assert.equal(parameter.isLeaf, true);
    });
  });

  test('loading converts dtypes and keeps strides', () => {
    const conv = new nn.Conv2d(2, 3, 2).to({ memoryFormat: 'channels_last' });
    const strides = conv.weight.stride();
    conv.loadStateDict({ weight: ones([3, 2, 2, 2], { dtype: 'float64' }), bias: zeros([3]) });
    assert.equal(conv.weight.dtype, 'float32');
    assert.deepEqual(conv.weight.stride(), strides);
    assert.equal(conv.weight.sum().item(), 24);
  });

  test('missing and unexpected keys and wrong shapes are told with PyTorch’s words, and nothing changes', () => {
    const layer = new nn.Linear(3, 2);
    const before = layer.weight.clone();
    const load = (options?: { strict: boolean }) =>
      layer.loadStateDict({ weight: ones([1, 2]), extra: ones([1]), other: ones([1]) }, options);
    assert.throws(
      () => load(),
      (error) =>
        error instanceof TorchError &&
        error.code === 'STATE_DICT' &&
        error.message ===
          'Error(s) in loading state_dict for Linear:\n' +
            '\tMissing key(s) in state_dict: "bias". \n' +
            '\tUnexpected key(s) in state_dict: "extra", "other". \n' +
            '\tsize mismatch for weight: copying a param with shape torch.Size([1, 2]) from checkpoint, the shape ' +
            'in current model is torch.Size([2, 3]).',
    );
    assert.throws(() => load({ strict: false }), {
      message:
        'Error(s) in loading state_dict for Linear:\n' +
        '\tsize mismatch for weight: copying a param with shape torch.Size([1, 2]) from checkpoint, the shape in ' +
        'current model is torch.Size([2, 3]).',
    });
    assert.throws(() => layer.loadStateDict({ weight: [1] as unknown as Tensor, bias: ones([2]) }), {
      message:
        'Error(s) in loading state_dict for Linear:\n' +
        '\tWhile copying the parameter named "weight", expected torch.Tensor or Tensor-like object from checkpoint ' +
        'but received number[]',
    });
    assert.equal(layer.weight.equal(before), true);
  });

  test('strict: false loads what fits and reports the rest', () => {
    const layer = new nn.Linear(1, 1);
    const report = layer.loadStateDict({ weight: tensor([[5]]), extra: ones([1]) }, { strict: false });
    assert.deepEqual(report, { missingKeys: ['bias'], unexpectedKeys: ['extra'] });
    assert.equal(layer.weight.item(), 5);
  });

  test('files from before num_batches_tracked load', () => {
    const bn = new nn.BatchNorm2d(1);
    const { num_batches_tracked: _, ...older } = bn.stateDict();
    assert.deepEqual(bn.loadStateDict(older), { missingKeys: [], unexpectedKeys: [] });
  });
});

describe('mode and place', () => {
  test('train and eval reach every module', () => {
    const block = new Block().eval();
    assert.ok([...block.modules()].every((module) => !module.training));
    block.train();
    assert.ok([...block.modules()].every((module) => module.training));
  });

  test('to converts floating-point state in place and keeps the objects', () => {
    const block = new Block();
    const [weight] = [block.conv.weight];
    block
      .forward(ones([1, 2, 2, 2]))
      .sum()
      .backward();
    assert.equal(block.to('float64'), block);
    assert.equal(block.conv.weight, weight);
    assert.equal(weight.dtype, 'float64');
    assert.equal(weight.grad?.dtype, 'float64');
    assert.equal(block.bn.runningMean?.dtype, 'float64');
    assert.equal(block.bn.numBatchesTracked?.dtype, 'int64');
    block
      .forward(ones([1, 2, 2, 2], { dtype: 'float64' }))
      .sum()
      .backward();
    assert.equal(block.half().conv.weight.dtype, 'float16');
    assert.equal(block.bfloat16().conv.weight.dtype, 'bfloat16');
    assert.equal(block.float().conv.weight.dtype, 'float32');
    assert.equal(block.cpu().conv.weight.device, 'cpu');
  });

  test('a memory format applies to weights of its dimensions', () => {
    const conv = new nn.Conv2d(3, 4, 3).to({ memoryFormat: 'channels_last' });
    assert.deepEqual(conv.weight.stride(), [27, 1, 9, 3]);
    assert.equal(conv.weight.isLeaf, true);
    conv
      .forward(ones([1, 3, 5, 5]))
      .sum()
      .backward();
    assert.deepEqual(conv.to({ memoryFormat: 'contiguous' }).weight.stride(), [27, 9, 3, 1]);
  });

  test('requiresGrad_ and zeroGrad reach every parameter', () => {
    const layer = new nn.Linear(2, 1);
    layer.forward(ones([1, 2])).backward();
    layer.zeroGrad({ setToNone: false });
    assert.deepEqual(numbersOf(layer.weight.grad!), [0, 0]);
    layer.zeroGrad();
    assert.equal(layer.weight.grad, null);
    layer.requiresGrad_(false);
    assert.equal(layer.forward(ones([1, 2])).requiresGrad, false);
  });

  test('moving a model in a scope leaves nothing behind and loses nothing', () => {
    const block = new Block();
    scope(() => {
      block.to('float64');
    });
    assert.equal(block.forward(ones([2, 2, 1, 1], { dtype: 'float64' })).dtype, 'float64');
  });
});

describe('errors of layers', () => {
  const refused = (make: () => unknown, message: string) =>
    assert.throws(
      make,
      (error) => error instanceof TorchError && error.code === 'VALUE' && error.message === message,
    );

  test('settings that do not fit', () => {
    refused(() => new nn.Conv2d(3, 4, 1, { groups: 2 }), 'in_channels must be divisible by groups');
    refused(() => new nn.Conv2d(4, 3, 1, { groups: 2 }), 'out_channels must be divisible by groups');
    refused(() => new nn.Conv2d(4, 4, 1, { groups: 0 }), 'groups must be a positive integer');
    refused(
      () => new nn.Conv2d(4, 4, 1, { stride: 2, padding: 'same' }),
      "padding='same' is not supported for strided convolutions",
    );
    refused(() => new nn.GroupNorm(2, 3), 'num_channels must be divisible by num_groups');
    refused(() => new nn.Dropout(-1), 'dropout probability has to be between 0 and 1, but got -1');
  });

  test('inputs that do not fit', () => {
    refused(() => new nn.BatchNorm2d(2).forward(ones([1, 2, 3])), 'expected 4D input (got 3D input)');
    refused(() => new nn.BatchNorm1d(2).forward(ones([2])), 'expected 2D or 3D input (got 1D input)');
    refused(
      () => new nn.BatchNorm2d(2).forward(ones([1, 2, 1, 1])),
      'Expected more than 1 value per channel when training, got input size torch.Size([1, 2, 1, 1])',
    );
  });
});
