import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type MonitorFinding, monitorScale, type ScaleReport, startMonitor } from '../src/index.ts';

type Window = Partial<ScaleReport> & { scale: number };

function follow(windows: Iterable<Window>, floor: number | null = null): MonitorFinding[] {
  let state = startMonitor();
  const all: MonitorFinding[] = [];
  let window = 0;
  for (const each of windows) {
    window += 1;
    const report = { window, applied: true, culprits: [], lr: 0.01, ...each };
    const next = monitorScale({ floor }, state, report);
    // What a checkpoint keeps is enough to go on.
    state = JSON.parse(JSON.stringify(next.state)) as typeof state;
    all.push(...next.findings);
  }
  return all;
}

const clean = (count: number, scale = 65536): Window[] => Array.from({ length: count }, () => ({ scale }));
const codes = (findings: MonitorFinding[]) => findings.map(({ code }) => code);

test('a healthy run is told nothing: start-up skips, slow growth, a skip now and then', () => {
  const start = [16, 15, 14].map((exponent) => ({ scale: 2 ** exponent, applied: false }));
  const steady = Array.from({ length: 1000 }, (_, i) => ({
    scale: i % 100 === 99 ? 16384 : 8192,
    applied: i % 100 !== 99,
  }));
  assert.deepEqual(follow([...start, ...steady], 1), []);
});

test('a scale that falls towards 1 is told once, with when it gets there', () => {
  const windows = Array.from({ length: 260 }, (_, i) => ({
    scale: 2 ** (12 - Math.floor(i / 25)),
    applied: i % 25 !== 24,
  }));
  const findings = follow(windows, 1);
  assert.deepEqual(codes(findings), ['SCALE_FALLING']);
  assert.equal(
    findings[0]!.text,
    'the loss scale fell from 4096 to 64 in 151 windows; at this rate it reaches 1 in about 151 more',
  );
  assert.equal(findings[0]!.severity, 'warning');
});

test('more than 5 % skipped windows, with the layers, the learning rate and the pictures that stand out', () => {
  const windows = Array.from({ length: 120 }, (_, i) => ({
    scale: 1024,
    applied: i % 15 !== 14,
    lr: 0.001 * (1 + i),
    culprits: i % 15 === 14 ? ['model.22.cv3.0.2.weight', 'model.22.cv3.0.2.bias', `model.${i}.weight`] : [],
    files: i % 15 === 14 ? ['dark.jpg', `${i}.jpg`] : [`${i}.jpg`],
  }));
  const [finding, ...more] = follow(windows);
  assert.deepEqual(more, []);
  assert.deepEqual(finding, {
    code: 'MANY_SKIPS',
    severity: 'warning',
    window: 100,
    text: '6 of the last 100 windows were skipped (6 %)',
    causes: [
      { kind: 'files', text: 'the same pictures were in several skipped windows: dark.jpg' },
      { kind: 'learning rate', text: 'the learning rate rose from 0.001 to 0.1' },
      { kind: 'layers', text: 'the overflow is mostly in model.22.cv3.0.2' },
    ],
    remedies: [
      'look at these pictures and their labels',
      'lower lr0 or lengthen warmup_epochs',
      "keep these layers in fp32 (fp32='PATTERN'), or let amp=auto do it",
      'amp=bf16 needs no loss scale where the device has it',
    ],
    culprits: [],
  });
});

test('exactly 5 % is not too many', () => {
  const windows = Array.from({ length: 400 }, (_, i) => ({ scale: 1024, applied: i % 20 !== 19 }));
  assert.deepEqual(codes(follow(windows)), []);
});

describe('a collapse', () => {
  const falling = Array.from({ length: 24 }, (_, i) => ({
    scale: 65536 / 2 ** i,
    applied: false,
    culprits: ['loss'],
  }));

  test('is told while it happens, and says that a forward pass overflowed', () => {
    const findings = follow(falling);
    assert.deepEqual(codes(findings), ['SCALE_COLLAPSED']);
    assert.deepEqual(
      [findings[0]!.window, findings[0]!.text],
      [8, '8 windows in a row overflowed; the loss scale fell to 512'],
    );
    assert.deepEqual(
      findings[0]!.causes.map(({ kind }) => kind),
      ['everything'],
    );
  });

  test('Y12: ends at the floor in an error that names the culprits', () => {
    const culprits = ['a.weight', 'b.weight', 'c.weight', 'd.weight', 'e.weight'];
    const windows = falling.map((window) => ({ ...window, culprits }));
    const findings = follow(windows.slice(0, 17), 1);
    assert.deepEqual(codes(findings), ['SCALE_COLLAPSED', 'SCALE_FLOOR']);
    const { severity, text, window } = findings[1]!;
    assert.deepEqual([severity, window], ['error', 17]);
    assert.equal(
      text,
      'the loss scale is at its floor of 1 and the gradients still overflow: a.weight, b.weight, c.weight, d.weight and 1 more',
    );
    assert.deepEqual(findings[1]!.culprits, culprits);
  });

  test('below 1 without a floor is told, down to 0', () => {
    const findings = follow([...clean(250, 4), { scale: 0.5, applied: false }, { scale: 0, applied: false }]);
    assert.deepEqual(
      findings.map(({ code, text }) => `${code}: ${text}`),
      ['SCALE_COLLAPSED: the loss scale collapsed to 0.5'],
    );
  });
});

test('a warning comes again after the horizon while its reason lasts', () => {
  const windows = Array.from({ length: 510 }, (_, i) => ({ scale: 1024, applied: i % 10 !== 9 }));
  assert.deepEqual(
    follow(windows).map(({ window }) => window),
    [100, 300, 500],
  );
});
