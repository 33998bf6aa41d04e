import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { native } from '@mezzo/libtorch';
import { cuda, functionMode, memory, setNumThreads, type Tensor } from '@mezzo/torch';
import { judgeSmokeTest, preflight, smokeTest } from '../src/index.ts';
import { codes, LOW, subjectOf, withoutNotes } from './preflight-subject.ts';

before(() => setNumThreads(1));

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
