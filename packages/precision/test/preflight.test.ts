import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import {
  cuda,
  functionMode,
  getRngState,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  setNumThreads,
  type Tensor,
  zeros,
} from '@mezzo/torch';
import {
  cachedPreflight,
  type Finding,
  judgeSmokeTest,
  type PassOutput,
  type PreflightSubject,
  preflight,
  preflightCacheFile,
  smokeTest,
} from '../src/index.ts';

type Low = 'float16' | 'bfloat16';
const LOW: readonly Low[] = ['bfloat16', 'float16'];

before(() => setNumThreads(1));

/** Convolution, BatchNorm, SiLU, twice; a layer in between; a mean over the image; four numbers. */
class Net extends nn.Module {
  readonly first: nn.Conv2d;
  readonly bn: nn.BatchNorm2d;
  readonly second: nn.Conv2d;
  readonly middle: nn.Layer;
  readonly head: nn.Linear;

  constructor(channels: number, middle: nn.Layer = new nn.Identity()) {
    super();
    this.first = new nn.Conv2d(channels, 8, 3, { padding: 1 });
    this.bn = new nn.BatchNorm2d(8);
    this.second = new nn.Conv2d(8, 8, 3, { padding: 1 });
    this.middle = middle;
    this.head = new nn.Linear(8, 4);
  }

  override forward(images: Tensor): Tensor {
    const features = nn.functional.silu(this.bn.forward(this.first.forward(images)));
    const deep = this.middle.forward(nn.functional.silu(this.second.forward(features)));
    return this.head.forward(deep.mean([2, 3]));
  }
}

interface Setup {
  channels?: number;
  middle?: nn.Layer;
  model?: nn.Module & { forward(images: Tensor): Tensor };
  batch?: number;
  low?: Low;
  side?: number;
  loss?: (output: Tensor, target: Tensor) => Tensor;
}

function subjectOf({
  channels = 3,
  middle,
  model,
  batch = 4,
  low = 'bfloat16',
  side = 16,
  loss = (output, target) => output.float().sub(target).square().mean(),
}: Setup = {}): PreflightSubject {
  manualSeed(1);
  const net = model ?? new Net(channels, middle);
  const images = keep(randn([batch, channels, side, side]));
  const targets = keep(randn([batch, 4]));
  return {
    model: net,
    device: 'cpu',
    low,
    batch,
    run: ({ batch: count, region }): PassOutput<null> => {
      const output = region(() => net.forward(images.narrow(0, 0, count)));
      return { loss: loss(output, targets.narrow(0, 0, count)), outputs: { output }, detail: null };
    },
  };
}

const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code);
const withoutNotes = (findings: readonly Finding[]) => findings.filter(({ severity }) => severity !== 'note');

class Apply extends nn.Layer {
  private readonly fn: (x: Tensor) => Tensor;

  constructor(fn: (x: Tensor) => Tensor) {
    super();
    this.fn = fn;
  }

  override forward(x: Tensor): Tensor {
    return this.fn(x);
  }
}

for (const low of LOW) {
  test(`Y1: a sound model passes in ${low}, untrained and trained, whatever its channels`, () => {
    for (const channels of [1, 3, 4, 6]) {
      const subject = subjectOf({ channels, low });
      for (const steps of [0, 20]) {
        trainFor(subject, steps);
        const report = preflight(subject);
        assert.deepEqual(withoutNotes(report.findings), [], `${channels} channels`);
        assert.equal(report.line, 'AMP: checks passed');
        assert.equal(report.verdict, 'sound');
        assert.equal(report.ok, true);
        assert.ok(report.numbers.gradCosine! > 0.9 && report.numbers.gradCosine! < 1);
        assert.ok(report.numbers.lossGap! > 0 && report.numbers.lossGap! < 0.1);
        assert.equal(report.numbers.convolutions, 2);
        assert.ok(report.numbers.convolutionError! > 0);
        assert.equal(report.numbers.batch, 4);
      }
    }
  });
}

function trainFor({ model, run, batch }: PreflightSubject, steps: number): void {
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05 });
  for (let i = 0; i < steps; i++) {
    scope(() => {
      optimizer.zeroGrad();
      run({ batch, dtype: 'float32', region: (fn) => fn() }).loss.backward();
      optimizer.step();
    });
  }
}

describe('Y2: nothing passes because nothing equals nothing', () => {
  const only = (setup: Setup) => {
    const { findings, verdict, ok } = preflight(subjectOf(setup));
    assert.equal(ok, false);
    assert.equal(verdict, 'unavailable');
    assert.equal(findings.length, 1);
    return findings[0]!;
  };

  test('a model whose output is the same everywhere', () => {
    const model = new Net(3);
    noGrad(() => model.head.weight.zero_());
    noGrad(() => model.head.bias!.zero_());
    const found = only({ model });
    assert.equal(found.code, 'CONSTANT_OUTPUT');
    assert.equal(found.class, 'consistency');
    assert.equal(found.message, 'every output of the model is the same number everywhere: output');
  });

  test('a loss that no parameter has a gradient of', () => {
    const found = only({ loss: (output) => output.mul(0).sum() });
    assert.equal(found.code, 'NO_GRADIENT');
    assert.equal(found.message, 'no parameter receives a gradient, so there is nothing to compare');
  });

  test('a model of which nothing is trained', () => {
    const model = new Net(3);
    model.requiresGrad_(false);
    const shift = new nn.Parameter(zeros([]));
    const found = only({ model, loss: (output) => output.sum().add(shift) });
    assert.equal(found.message, 'no parameter is trained, so there is nothing to compare');
  });

  test('a part of the model that is never used is named', () => {
    class Idle extends Net {
      readonly spare = new nn.Linear(2, 2);
    }
    const report = preflight(subjectOf({ model: new Idle(3) }));
    assert.equal(report.verdict, 'sound');
    const [found] = report.findings;
    assert.equal(found!.code, 'LAYERS_WITHOUT_GRADIENT');
    assert.equal(
      found!.message,
      '2 of 10 parameters receive no gradient, so they were not compared: spare.weight, spare.bias',
    );
  });

  test('a model that is not finite in float32 either is no case for precision', () => {
    const model = new Net(3);
    noGrad(() => model.first.weight.fill_(Number.NaN));
    assert.equal(only({ model }).message, 'in float32 already the loss is NaN');
  });
});

test('the model is left to the bit: weights, buffers, gradients, generators, and no tensor stays', () => {
  const subject = subjectOf({ middle: new nn.Dropout(0.2), low: 'bfloat16' });
  const { model } = subject;
  subject.run({ batch: 2, dtype: 'float32', region: (fn) => fn() }).loss.backward();
  const everything = () =>
    [
      ...Object.entries(model.stateDict()),
      ...Array.from(model.namedParameters(), ([name, { grad }]) => [`${name}.grad`, grad] as const),
    ].map(([name, tensor]) => [
      name,
      tensor === null ? null : native().readBytes(tensor.contiguous().handle),
    ]);
  const before = scope(everything);
  const random = getRngState();
  preflight(subject);
  memory.collectGarbage();
  const { liveTensors } = memory.stats();
  preflight(subject);
  assert.deepEqual(scope(everything), before);
  assert.deepEqual(getRngState(), random);
  assert.equal(memory.stats().liveTensors, liveTensors);
});

describe('operations that are unsafe in low precision', () => {
  test('exp beyond the range of fp16: named with its layer, and cured by its island', () => {
    const middle = new Apply((x) => x.mul(0).add(12).exp().add(x).log());
    const report = preflight(subjectOf({ middle, low: 'float16' }));
    assert.equal(report.verdict, 'sound-with-islands');
    assert.equal(report.ok, true);
    const found = report.findings.find(({ severity }) => severity === 'island')!;
    assert.equal(found.code, 'UNSAFE_OP');
    assert.equal(found.class, 'numerics');
    assert.equal(
      found.message,
      'exp runs in low precision in middle (largest operand 12): the result leaves the range',
    );
    assert.equal(found.remedy, 'island: exp of middle in float32');
    assert.deepEqual(report.plan?.rules[0], {
      layers: 'middle',
      ops: ['aten::exp'],
      dtype: 'float32',
      reason: 'exp: the result leaves the range',
    });
    assert.match(report.line, /^AMP: checks passed with (an island|islands): exp of middle in float32/);
    assert.ok(report.numbers.gradCosine! > 0.99);
    // In bfloat16 the same model needs nothing: exp(12) is far from the end of its range.
    const bf16 = preflight(subjectOf({ middle, low: 'bfloat16' }));
    assert.equal(bf16.verdict, 'sound');
    assert.deepEqual(codes(bf16.findings), ['RISKY_OP', 'RISKY_OP']);
  });

  test('a division by a sum with an eps that fp16 does not have: both are named', () => {
    const middle = new Apply((x) => {
      const rest = x.sub(x.detach());
      return rest.add(1e-9).reciprocal().mul(1e-9).add(x);
    });
    const report = preflight(subjectOf({ middle, low: 'float16' }));
    assert.equal(report.verdict, 'sound-with-islands');
    const messages = report.findings.map(({ message }) => message);
    assert.ok(
      messages.includes(
        'add runs in low precision in middle (the constant 1e-9 becomes 0): float16 has nothing between 0 and 6e-8',
      ),
      messages.join('\n'),
    );
    assert.ok(
      messages.includes(
        'reciprocal runs in low precision in middle (smallest magnitude operand 0.0): ' +
          'small divisors round to 0, and quotients leave the range',
      ),
      messages.join('\n'),
    );
  });

  test('log, sqrt and pow in low precision are listed with the island that would cure each', () => {
    const middle = new Apply((x) => x.abs().add(1).log().add(1).sqrt().pow(0.7));
    const report = preflight(subjectOf({ middle, low: 'bfloat16' }));
    assert.equal(report.verdict, 'sound');
    assert.deepEqual(
      report.findings.map(({ code, island }) => [code, island?.layers, island?.ops]),
      [
        ['RISKY_OP', 'middle', ['aten::log']],
        ['RISKY_OP', 'middle', ['aten::sqrt']],
        ['RISKY_OP', 'middle', ['aten::pow']],
      ],
    );
  });

  test('activations beyond 65504 in no listed operation: the layer is found and cured', () => {
    const middle = new Apply((x) => x.mul(300).mul(300).mul(1e-5));
    const report = preflight(
      subjectOf({ middle, low: 'float16', loss: (y, t) => y.float().sub(t).square().mean() }),
    );
    assert.equal(report.verdict, 'sound-with-islands', report.line);
    assert.deepEqual(
      report.plan?.rules.map(({ layers, ops, dtype }) => ({ layers, ops, dtype })),
      [{ layers: 'middle', ops: undefined, dtype: 'float32' }],
    );
    assert.deepEqual(codes(withoutNotes(report.findings)), ['UNSAFE_LAYER']);
  });

  test('a difference of large numbers, finite but wrong: the gradient tells', () => {
    const middle = new Apply((x) => x.add(4096).sub(4096).mul(1));
    const report = preflight(subjectOf({ middle, low: 'bfloat16' }));
    assert.notEqual(report.verdict, 'sound', JSON.stringify(report.numbers));
    assert.ok(
      report.verdict === 'sound-with-islands' || report.findings.some(({ class: of }) => of === 'numerics'),
    );
  });
});

describe('rounding alone', () => {
  const WIDTH = 32;
  /** Thirty normalisations over two samples: every value is the sign of a difference, however small that is. */
  const knife = () => {
    const block = () => [new nn.Linear(WIDTH, WIDTH), new nn.BatchNorm1d(WIDTH), new nn.Tanh()];
    const blocks = Array.from({ length: 30 }, block).flat();
    return new nn.Sequential(new nn.Flatten(1), ...blocks, new nn.Linear(WIDTH, 4));
  };

  test('a batch whose gradient turns on the last bits of the weights has no direction that a format could lose', () => {
    manualSeed(1);
    const report = preflight(subjectOf({ model: knife(), channels: 2, side: 4, batch: 2 }));
    assert.equal(report.line, 'AMP: checks passed');
    assert.deepEqual(codes(report.findings), ['DIRECTION_NOT_COMPARED']);
    assert.equal(
      report.findings[0]!.message,
      'the gradient of this batch turns with the last bits of the weights, in float32 too: ' +
        'in bfloat16 its size was checked, not its direction',
    );
    assert.ok(1 - report.numbers.roundingGradCosine! > 0.9);
  });

  test('there too an unsafe operation is found', () => {
    manualSeed(1);
    const model = new nn.Sequential(knife(), new Apply((x) => x.mul(0).add(12).exp().log().sub(12).add(x)));
    const report = preflight(subjectOf({ model, channels: 2, side: 4, batch: 2, low: 'float16' }));
    const found = report.findings.find(({ code }) => code === 'UNSAFE_OP');
    assert.equal(
      found?.message,
      'exp runs in low precision in 1 (largest operand 12): the result leaves the range',
    );
  });

  test('values that the format has no room for are its fault: the weights are not', () => {
    const middle = new nn.Sequential(new Apply((x) => x.add(4096)), new Apply((x) => x.sub(4096)));
    const report = preflight(subjectOf({ middle, low: 'bfloat16' }));
    assert.notEqual(report.verdict, 'sound', JSON.stringify(report.numbers));
    assert.ok(!codes(report.findings).includes('DIRECTION_NOT_COMPARED'));
  });
});

describe('the convolution canary', () => {
  /** A machine whose fp16 kernel is wrong for convolutions of these many input channels. */
  const onBrokenMachine = (channels: readonly number[], fn: () => ReturnType<typeof preflight>) =>
    functionMode((name, args, proceed) => {
      const [input] = args as [Tensor];
      const broken = name === 'aten::conv2d' && input.dtype === 'float16' && channels.includes(input.size(1));
      const result = proceed(args) as Tensor;
      return broken ? result.mul(Number.NaN) : result;
    }, fn);

  test('a kernel that is wrong is named with its layers, and they become islands', () => {
    const subject = subjectOf({ low: 'float16' });
    const report = onBrokenMachine([3], () => preflight(subject));
    assert.equal(report.verdict, 'sound-with-islands', report.line);
    const [found] = withoutNotes(report.findings);
    assert.equal(found!.code, 'CONVOLUTION_WRONG');
    assert.equal(found!.class, 'hardware');
    assert.equal(
      found!.message,
      'the float16 kernel of conv2d [4, 3, 16, 16] * [8, 3, 3, 3] is wrong in first: relative errors ' +
        'output not finite, inputGradient not finite, weightGradient not finite, at most 0.0039 is right',
    );
    assert.deepEqual(
      report.plan?.rules.map(({ layers, dtype }) => [layers, dtype]),
      [['first', 'float32']],
    );
  });

  test('when most are wrong, it is the machine', () => {
    const subject = subjectOf({ low: 'float16' });
    const report = onBrokenMachine([3, 8], () => preflight(subject));
    assert.equal(report.verdict, 'unsound');
    assert.deepEqual(codes(withoutNotes(report.findings)), ['CONVOLUTION_WRONG', 'CONVOLUTION_WRONG']);
    assert.match(report.line, /^AMP: checks failed: hardware: the float16 kernel of conv2d /);
  });
});

describe('a model that cannot run says why', () => {
  test('data of other channels than the first convolution takes: both numbers', () => {
    const subject = subjectOf({ channels: 1, model: new Net(3) });
    const { findings, verdict, line } = preflight(subject);
    assert.equal(verdict, 'unavailable');
    assert.deepEqual(codes(findings), ['CHANNELS_DISAGREE']);
    assert.equal(findings[0]!.message, 'first takes 3 channels, the data has 1');
    assert.deepEqual(findings[0]!.evidence, { layer: 'first', expected: 3, given: 1 });
    assert.equal(line, 'AMP: checks failed: consistency: first takes 3 channels, the data has 1');
  });

  test('a loss that is not one number', () => {
    const { findings } = preflight(subjectOf({ loss: (output) => output.square() }));
    assert.deepEqual(codes(findings), ['LOSS_NOT_SCALAR']);
    assert.equal(findings[0]!.message, 'the loss has 16 elements, shape [4, 4]');
  });

  test('any other failure in float32 is the model and data, not the precision', () => {
    const middle = new Apply((x) => x.view([7, 7]));
    const { findings } = preflight(subjectOf({ middle }));
    assert.deepEqual(codes(findings), ['MODEL_FAILS']);
    assert.match(findings[0]!.message, /^the model fails in float32: shape '\[7, 7\]' is invalid/);
  });

  test('a defect of the program around the model is thrown, not reported', () => {
    const subject = subjectOf();
    const broken = { ...subject, run: () => JSON.parse('{') as never };
    assert.throws(() => preflight(broken), SyntaxError);
  });
});

test('no GPU where one is asked for: environment', { skip: cuda.isAvailable() && 'there is a GPU' }, () => {
  const report = preflight({ ...subjectOf(), device: 'cuda:0' });
  assert.equal(report.line, 'AMP: checks failed: environment: cuda:0: LibTorch sees no CUDA device');
  assert.equal(report.verdict, 'unavailable');
  assert.equal(
    report.findings[0]!.remedy,
    'mezzo doctor says what was found and why; device=cpu checks the CPU',
  );
});

describe('the smoke test tells a broken machine from a difficult model', () => {
  test('Linear(2, 2) is exact here', () => {
    for (const low of LOW) assert.equal(smokeTest('cpu', low), null);
  });

  test('wrong numbers are hardware', () => {
    const found = judgeSmokeTest('cuda:0', 'float16', [Number.NaN, -1.5, 3.5, 7.5, 13, 4.5, 27, 10.5]);
    assert.equal(found?.class, 'hardware');
    assert.equal(
      found?.message,
      'Linear(2, 2) on cuda:0 in float16 gives NaN, -1.5, 3.5, 7.5, 13, 4.5, 27, 10.5 instead of ' +
        '-0.5, -1.5, 3.5, 7.5, 13, 4.5, 27, 10.5',
    );
  });

  test('an exception is environment', { skip: cuda.isAvailable() && 'there is a GPU' }, () => {
    const found = smokeTest('cuda:0', 'float16');
    assert.equal(found?.class, 'environment');
    assert.match(found?.message ?? '', /^even Linear\(2, 2\) on cuda:0 in float16 fails: /);
  });
});

describe('too little memory', () => {
  after(() => native().setMemoryLimit(0));

  const limitedTo = (bytes: number) => {
    const subject = subjectOf({ batch: 64, side: 32 });
    memory.collectGarbage();
    native().setMemoryLimit(memory.stats().liveBytes + bytes);
    try {
      return preflight(subject);
    } finally {
      native().setMemoryLimit(0);
    }
  };

  test('the largest batch that fits is told', () => {
    const report = limitedTo(3e6);
    assert.equal(report.verdict, 'unavailable');
    const found = report.findings.find(({ severity }) => severity === 'error')!;
    assert.equal(found.code, 'BATCH_DOES_NOT_FIT');
    assert.equal(found.class, 'memory');
    const { largest } = found.evidence as { largest: number };
    assert.ok(largest >= 1 && largest < 64, String(largest));
    assert.equal(
      found.message,
      `batch 64 does not fit into memory in bfloat16: the largest that does is batch ${largest}`,
    );
    assert.equal(found.remedy, `batch=${largest}, a smaller imgsz, or a smaller model`);
  });

  test('where only float32 does not fit, a smaller batch is compared, and it passes', () => {
    const subject = subjectOf({ batch: 64, side: 32 });
    memory.collectGarbage();
    const live = memory.stats().liveBytes;
    const { peakBytes, peakBytesFloat32 } = preflight(subject).numbers;
    assert.ok(peakBytes! < peakBytesFloat32!);
    const report = limitedTo((peakBytes! + peakBytesFloat32!) / 2 - live);
    assert.equal(report.line, 'AMP: checks passed');
    assert.deepEqual(codes(report.findings), ['REFERENCE_AT_SMALLER_BATCH']);
    assert.ok(report.numbers.batch < 64);
  });

  test('not even one sample', () => {
    const report = limitedTo(50_000);
    assert.match(
      report.line,
      /^AMP: checks failed: memory: batch 64 does not fit into memory .*: not even one sample does$/,
    );
  });
});

describe('the cache', () => {
  const home = mkdtempSync(path.join(tmpdir(), 'mezzo-preflight-'));
  const before_ = process.env.MEZZO_HOME;
  before(() => {
    process.env.MEZZO_HOME = home;
  });
  after(() => {
    if (before_ === undefined) delete process.env.MEZZO_HOME;
    else process.env.MEZZO_HOME = before_;
    rmSync(home, { recursive: true, force: true });
  });

  const keyOf = ({ model }: PreflightSubject) =>
    ({ model, device: 'cpu', low: 'bfloat16', imgsz: 16, batch: 4 }) as const;

  test('a verdict is found again; other weights, settings or structure make another', () => {
    const subject = subjectOf();
    const file = preflightCacheFile(keyOf(subject));
    const first = cachedPreflight(file, () => preflight(subject));
    assert.equal(first.cached, false);
    const second = cachedPreflight(file, () => assert.fail('it was in the cache'));
    assert.equal(second.cached, true);
    assert.deepEqual(second.report, JSON.parse(JSON.stringify(first.report)));
    assert.equal(preflightCacheFile(keyOf(subject)), file);
    const others = [
      preflightCacheFile({ ...keyOf(subject), batch: 5 }),
      preflightCacheFile({ ...keyOf(subject), low: 'float16' }),
      preflightCacheFile({ ...keyOf(subject), further: { data: 'a.yaml' } }),
      preflightCacheFile(keyOf(subjectOf({ channels: 1 }))),
    ];
    noGrad(() => subject.model.parameters()[0]!.add_(1e-3));
    others.push(preflightCacheFile(keyOf(subject)));
    assert.equal(new Set([file, ...others]).size, 6);
  });

  test('a damaged file is ignored with a note, and replaced', () => {
    const subject = subjectOf();
    const file = preflightCacheFile(keyOf(subject));
    for (const damage of ['', '{"format":1', '{"format":1,"report":{}}', '[]']) {
      writeFileSync(file, damage);
      const { cached, note } = cachedPreflight(file, () => preflight(subject));
      assert.equal(cached, false);
      assert.equal(note, `the cached verdict ${file} was damaged and is ignored`);
      assert.equal(JSON.parse(readFileSync(file, 'utf8')).report.verdict, 'sound');
    }
    assert.deepEqual(
      readdirSync(path.dirname(file)).filter((name) => !name.endsWith('.json')),
      [],
    );
  });

  test('what the machine lacked is not kept, and a folder that cannot be written costs a note', () => {
    const subject = subjectOf({ loss: (output) => output.square() });
    const file = preflightCacheFile({ ...keyOf(subject), imgsz: 17 });
    assert.equal(cachedPreflight(file, () => preflight(subject)).cached, false);
    assert.equal(cachedPreflight(file, () => preflight(subject)).cached, false);
    const blocked = path.join(file, 'below', 'x.json');
    writeFileSync(file, '');
    const { note, report } = cachedPreflight(blocked, () => preflight(subjectOf()));
    assert.equal(report.verdict, 'sound');
    assert.match(note ?? '', /ENOTDIR/);
  });
});
