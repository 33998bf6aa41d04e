import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  advanceHealing,
  HEALING_DEFAULTS,
  HEALTHY,
  type HealingOptions,
  type HealingState,
  healingRules,
  type LayerDtypes,
  type Overflow,
  type PlanChange,
  type PlanDType,
  type WindowReport,
  wantsEvidence,
} from '../src/index.ts';

const OPTIONS: HealingOptions = { ...HEALING_DEFAULTS, within: 10, retryAfter: 20, longestWait: 80 };

const forward = (layer: string | null): Overflow => ({
  layer,
  phase: 'forward',
  evidence: { op: 'aten::exp' },
});
const backward = (layer: string): Overflow => ({ layer, phase: 'backward', evidence: {} });

/** Plays windows one after the other, and keeps what changed. */
class Patient {
  state: HealingState = HEALTHY;
  readonly changes: PlanChange[] = [];
  private readonly options: HealingOptions;
  private readonly planned: PlanDType;

  constructor(options: Partial<HealingOptions> = {}, planned: PlanDType = 'float16') {
    this.options = { ...OPTIONS, ...options };
    this.planned = planned;
  }

  private play(report: WindowReport): this {
    const before = structuredClone(this.state);
    const dtypes: LayerDtypes = {
      planned: () => this.planned,
      inForce: (layer) => before.layers[layer]?.dtype ?? this.planned,
    };
    const { state, changes } = advanceHealing(this.state, report, dtypes, this.options);
    assert.deepEqual(this.state, before, 'the state that was given is not touched');
    this.state = JSON.parse(JSON.stringify(state)) as HealingState;
    this.changes.push(...changes);
    return this;
  }

  clean(windows: number): this {
    for (let i = 0; i < windows; i++) this.play({ applied: true, scale: 1024, overflow: null });
    return this;
  }

  skip(overflow: Overflow | null, scale: number | null = 1024): this {
    return this.play({ applied: false, scale, overflow });
  }

  get moves(): string[] {
    return this.changes.map(({ window, layer, from, to }) => `${window} ${layer}: ${from} → ${to}`);
  }
}

describe('when a layer is moved', () => {
  test('twice within the windows, not once, and not twice far apart', () => {
    assert.deepEqual(new Patient().skip(forward('a')).clean(30).moves, []);
    assert.deepEqual(new Patient().skip(forward('a')).clean(9).skip(forward('a')).moves, []);
    const patient = new Patient().skip(forward('a')).clean(8).skip(forward('a'));
    assert.deepEqual(patient.changes, [
      {
        window: 10,
        layer: 'a',
        from: 'float16',
        to: 'float32',
        reason: 'overflowed 2 times within 10 windows, and a lower loss scale did not help',
        evidence: { phase: 'forward', scale: 1024, windows: [1, 10], op: 'aten::exp' },
      },
    ]);
    assert.deepEqual(healingRules(patient.state), [
      {
        layers: 'a',
        dtype: 'float32',
        reason: 'healing: overflowed 2 times within 10 windows, and a lower loss scale did not help',
      },
    ]);
  });

  test('two layers that overflow in turn are counted apart', () => {
    const patient = new Patient().skip(forward('a')).skip(forward('b')).skip(forward('a')).skip(forward('b'));
    assert.deepEqual(patient.moves, ['3 a: float16 → float32', '4 b: float16 → float32']);
  });

  test('a scale that is too high at start-up is nobody’s fault: backward counts at 16 and below', () => {
    const patient = new Patient();
    for (let scale = 65536; scale > 16; scale /= 2) patient.skip(backward('a'), scale);
    assert.deepEqual([patient.moves, patient.state.layers], [[], {}]);
    patient.skip(backward('a'), 16).skip(backward('a'), 8);
    assert.deepEqual(patient.moves, ['14 a: float16 → float32']);
  });

  test('without a scaler there is no lower scale to try', () => {
    assert.deepEqual(new Patient().skip(backward('a'), null).skip(backward('a'), null).moves, [
      '2 a: float16 → float32',
    ]);
  });

  test('no layer is blamed for the loss, the data, or what nobody knows', () => {
    const patient = new Patient();
    for (let i = 0; i < 5; i++) patient.skip(null, 1).skip(forward(null), 1);
    assert.deepEqual([patient.moves, patient.state.layers], [[], {}]);
  });

  test('while a lower scale is known to be the cure no replay is asked for', () => {
    const patient = new Patient();
    const wants = (scale: number) => wantsEvidence(patient.state, scale, OPTIONS);
    assert.ok(wants(65536));
    patient.skip(backward('a'), 65536);
    assert.ok(!wants(32768));
    assert.ok(wants(16));
    patient.clean(1);
    assert.ok(wants(32768));
    patient.skip(forward('a'), 32768);
    assert.ok(wants(16384));
  });

  test('the model itself is a layer too', () => {
    const patient = new Patient().skip(forward('')).skip(forward(''));
    assert.equal(healingRules(patient.state)[0]!.layers, '*');
  });
});

describe('where it goes', () => {
  test('bf16 has the range; when that does not help, float32', () => {
    const patient = new Patient({ island: 'bfloat16' });
    for (let i = 0; i < 4; i++) patient.skip(forward('a'));
    assert.deepEqual(patient.moves, ['2 a: float16 → bfloat16', '4 a: bfloat16 → float32']);
  });

  test('from bf16 there is float32', () => {
    const patient = new Patient({ island: 'bfloat16' }, 'bfloat16').skip(forward('a')).skip(forward('a'));
    assert.deepEqual(patient.moves, ['2 a: bfloat16 → float32']);
  });

  test('what overflows in float32 is said once, and left alone', () => {
    const patient = new Patient();
    for (let i = 0; i < 8; i++) patient.skip(forward('a'));
    assert.deepEqual(patient.moves, ['2 a: float16 → float32', '4 a: float32 → float32']);
    assert.equal(patient.changes[1]!.reason, 'overflows in float32 as well: the cause is not the precision');
  });
});

describe('when it is tried again', () => {
  const moved = () => new Patient().skip(forward('a')).skip(forward('a'));

  test('after clean windows; skipped ones do not count', () => {
    const patient = moved().clean(10).skip(null).skip(forward('b')).clean(9);
    assert.equal(patient.changes.length, 1);
    patient.clean(1);
    assert.deepEqual(patient.changes[1], {
      window: 24,
      layer: 'a',
      from: 'float32',
      to: 'float16',
      reason: 'tried again after 20 windows without overflow',
      evidence: { cleanWindows: 20 },
    });
    assert.deepEqual(healingRules(patient.state), []);
  });

  test('one overflow ends the trial, and the wait doubles up to the longest', () => {
    const patient = moved();
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      let wait = 0;
      for (const before = patient.changes.length; patient.changes.length === before; wait++) patient.clean(1);
      waits.push(wait);
      patient.skip(forward('a'));
      assert.equal(patient.changes.at(-1)!.to, 'float32');
      assert.equal(patient.changes.at(-1)!.reason, 'overflowed again when it was tried in low precision');
    }
    assert.deepEqual(waits, [20, 40, 80, 80, 80]);
  });

  test('a layer that passes its trial is forgotten', () => {
    const patient = moved().clean(20).clean(20);
    assert.deepEqual(patient.state.layers, {});
    patient.skip(forward('a'));
    assert.equal(patient.changes.length, 2);
  });

  test('one layer at a time', () => {
    const patient = moved().skip(forward('b')).skip(forward('b')).clean(29);
    assert.deepEqual(patient.moves.slice(2), ['24 a: float32 → float16']);
    patient.clean(1);
    assert.deepEqual(patient.moves.slice(3), ['34 b: float32 → float16']);
  });
});

test('a state that went through JSON goes on as the other does', () => {
  const [straight, resumed] = [new Patient(), new Patient()];
  const first = (patient: Patient) =>
    patient.skip(forward('a')).clean(3).skip(forward('a')).clean(12).skip(forward('b'), 4);
  first(straight);
  first(resumed);
  resumed.state = JSON.parse(JSON.stringify(resumed.state)) as HealingState;
  for (const patient of [straight, resumed])
    patient.clean(2).skip(forward('b'), 4).clean(40).skip(forward('a'));
  assert.deepEqual(resumed.changes, straight.changes);
  assert.deepEqual(resumed.state, straight.state);
});
