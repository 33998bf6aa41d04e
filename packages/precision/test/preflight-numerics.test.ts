import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { manualSeed, nn, setNumThreads } from '@mezzo/torch';
import { preflight } from '../src/index.ts';
import { Apply, codes, subjectOf, withoutNotes } from './preflight-subject.ts';

before(() => setNumThreads(1));

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
