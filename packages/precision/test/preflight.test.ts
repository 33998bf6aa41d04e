import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { getRngState, memory, nn, noGrad, optim, scope, setNumThreads, zeros } from '@mezzo/torch';
import { type PreflightSubject, preflight } from '../src/index.ts';
import { Apply, codes, LOW, Net, type Setup, subjectOf, withoutNotes } from './preflight-subject.ts';

before(() => setNumThreads(1));

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
