import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import {
  diffPlans,
  formatPlan,
  layerPattern,
  type PrecisionPlan,
  parsePlan,
  planFromPatterns,
  readPlan,
  uniformPlan,
  withRules,
  writePlan,
} from '../src/index.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'plan-'));
after(() => rmSync(folder, { recursive: true }));

const PLAN: PrecisionPlan = {
  version: 1,
  base: 'float16',
  rules: [
    { layers: 'model.22.*', dtype: 'float32', reason: 'box regression' },
    { layers: 'model.*', ops: ['aten::exp', 'aten::softmax'], dtype: 'float32', reason: 'range' },
    { layers: 'model.22.cv3', dtype: 'bfloat16', reason: 'by hand' },
  ],
  history: [
    {
      window: 12,
      layer: 'model.4',
      from: 'float16',
      to: 'float32',
      reason: 'overflowed twice',
      evidence: { op: 'aten::exp', scale: 1 },
    },
  ],
};

describe('patterns', () => {
  const matched = (pattern: string) =>
    ['', 'model', 'model.2', 'model.22', 'model.22.cv2.0', 'model.3.bn', 'model.3.bn2'].filter(
      layerPattern(pattern),
    );

  test('* stands for anything, dots included; the whole name has to fit', () => {
    assert.deepEqual(matched('model.22.*'), ['model.22.cv2.0']);
    assert.deepEqual(matched('model.2'), ['model.2']);
    assert.deepEqual(matched('*.bn'), ['model.3.bn']);
    assert.deepEqual(matched('model.?'), ['model.2']);
    assert.deepEqual(matched('model.{2,3}*'), [
      'model.2',
      'model.22',
      'model.22.cv2.0',
      'model.3.bn',
      'model.3.bn2',
    ]);
    assert.deepEqual(matched('*'), [
      '',
      'model',
      'model.2',
      'model.22',
      'model.22.cv2.0',
      'model.3.bn',
      'model.3.bn2',
    ]);
    assert.deepEqual(matched('model.(2|3)'), []);
  });

  test('by hand: one pattern, several with commas, or a list', () => {
    const rule = (layers: string) => ({ layers, dtype: 'float32', reason: 'by hand' });
    assert.deepEqual(planFromPatterns('float16', 'model.22.*').rules, [rule('model.22.*')]);
    assert.deepEqual(planFromPatterns('float16', 'a, b.*').rules, [rule('a'), rule('b.*')]);
    assert.deepEqual(planFromPatterns('float16', ['a'], 'bfloat16').rules, [
      { ...rule('a'), dtype: 'bfloat16' },
    ]);
    assert.throws(() => planFromPatterns('float16', 'a,,b'), {
      name: 'PlanError',
      code: 'BAD_PLAN',
      message: "an empty layer pattern in 'a,,b'",
      hint: "a pattern names layers: 'model.22.*'",
    });
  });
});

describe('plans as files', () => {
  test('what is written is read back, one rule a line', async () => {
    const file = path.join(folder, 'precision.json');
    writePlan(file, PLAN);
    assert.deepEqual(await readPlan(file), PLAN);
    assert.equal(
      formatPlan({ ...PLAN, rules: PLAN.rules.slice(0, 2), history: [] }),
      [
        '{',
        '  "version": 1,',
        '  "base": "float16",',
        '  "rules": [',
        '    {"layers":"model.22.*","dtype":"float32","reason":"box regression"},',
        '    {"layers":"model.*","ops":["aten::exp","aten::softmax"],"dtype":"float32","reason":"range"}',
        '  ],',
        '  "history": []',
        '}',
        '',
      ].join('\n'),
    );
    assert.deepEqual(parsePlan(JSON.parse(formatPlan(uniformPlan('bfloat16')))), uniformPlan('bfloat16'));
  });

  test('history and reasons may be left out, dtypes may be short', () => {
    assert.deepEqual(parsePlan({ version: 1, base: 'fp16', rules: [{ layers: 'a.*', dtype: 'bf16' }] }), {
      version: 1,
      base: 'float16',
      rules: [{ layers: 'a.*', dtype: 'bfloat16', reason: 'by hand' }],
      history: [],
    });
  });

  const rule = { layers: 'a', dtype: 'float32', reason: 'x' };
  const withRule = (each: unknown) => ({ version: 1, base: 'float16', rules: [rule, each], history: [] });
  const FAULTS: [plan: unknown, message: string, hint?: string][] = [
    [[], 'p.json must be an object, got []'],
    [{ ...PLAN, version: 2 }, "p.json: 'version' must be 1, got 2"],
    [{ ...PLAN, base: 'float' }, 'p.json: \'base\' must be float32, float16 or bfloat16, got "float"'],
    [{ ...PLAN, rules: undefined }, "p.json: 'rules' must be a list, got nothing"],
    [
      { ...PLAN, rule: [] },
      "p.json: unknown field 'rule'; did you mean 'rules'?",
      'the fields are version, base, rules, history',
    ],
    [withRule('a'), 'p.json: rule 2 must be an object, got "a"'],
    [withRule({ dtype: 'float32' }), "p.json: rule 2: 'layers' must be a text, got nothing"],
    [withRule({ ...rule, layers: '' }), 'p.json: rule 2: \'layers\' must be a text, got ""'],
    [
      withRule({ ...rule, layer: 'a' }),
      "p.json: rule 2: unknown field 'layer'; did you mean 'layers'?",
      'the fields are layers, ops, dtype, reason',
    ],
    [
      withRule({ ...rule, dtype: 'fp31' }),
      'p.json: rule 2: \'dtype\' must be float32, float16 or bfloat16, got "fp31"',
    ],
    [
      withRule({ ...rule, dtype: 16 }),
      "p.json: rule 2: 'dtype' must be float32, float16 or bfloat16, got 16",
    ],
    [withRule({ ...rule, reason: 1 }), "p.json: rule 2: 'reason' must be a text, got 1"],
    [withRule({ ...rule, ops: 'aten::exp' }), 'p.json: rule 2: \'ops\' must be a list, got "aten::exp"'],
    [
      withRule({ ...rule, ops: [] }),
      "p.json: rule 2: 'ops' is empty: leave it out for a rule on whole layers",
    ],
    [
      withRule({ ...rule, ops: ['exp'] }),
      "p.json: rule 2: 'ops' must be names such as 'aten::exp', got \"exp\"",
    ],
    [{ ...PLAN, history: [{}] }, "p.json: change 1: 'window' must be a whole number, got nothing"],
    [
      { ...PLAN, history: [{ ...PLAN.history[0], evidence: null }] },
      "p.json: change 1: 'evidence' must be an object, got null",
    ],
  ];
  for (const [plan, message, hint] of FAULTS) {
    test(`malformed: ${message}`, () => {
      assert.throws(() => parsePlan(plan, 'p.json'), {
        name: 'PlanError',
        code: 'BAD_PLAN',
        message,
        ...(hint === undefined ? {} : { hint }),
      });
    });
  }

  test('a file that is missing or no JSON is named', async () => {
    const missing = path.join(folder, 'none.json');
    await assert.rejects(readPlan(missing), {
      code: 'BAD_PLAN',
      message: `cannot read ${missing}: no such file`,
    });
    const broken = path.join(folder, 'broken.json');
    writeFileSync(broken, '{"version": 1,');
    await assert.rejects(readPlan(broken), ({ code, message }: NodeJS.ErrnoException) => {
      assert.equal(code, 'BAD_PLAN');
      assert.ok(message.startsWith(`${broken} is not JSON: `), message);
      return true;
    });
  });
});

describe('differences', () => {
  test('none between equal plans; reasons and history do not count', () => {
    const retold = {
      ...PLAN,
      history: [],
      rules: PLAN.rules.map((rule) => ({ ...rule, reason: 'other words' })),
    };
    assert.deepEqual(diffPlans(PLAN, retold), []);
  });

  test('base, rules added, removed, changed and put in another order', () => {
    const [head, exp, cls] = PLAN.rules;
    const wide = { ...head!, dtype: 'bfloat16' as const };
    const added = { layers: 'model.0', dtype: 'float32' as const, reason: 'new' };
    assert.deepEqual(diffPlans(PLAN, { ...PLAN, base: 'bfloat16', rules: [wide, cls!, added] }), [
      { kind: 'base', from: 'float16', to: 'bfloat16' },
      { kind: 'changed', from: head, to: wide },
      { kind: 'removed', rule: exp },
      { kind: 'added', rule: added },
    ]);
    assert.deepEqual(diffPlans(PLAN, { ...PLAN, rules: [cls!, head!, exp!] }), [{ kind: 'reordered' }]);
    assert.deepEqual(diffPlans(PLAN, withRules(PLAN, [added])), [{ kind: 'added', rule: added }]);
  });
});
