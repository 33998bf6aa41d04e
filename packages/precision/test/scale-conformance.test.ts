import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { amp } from '@mezzo/torch';

const folder = new URL('../../../../conformance/scalers/', import.meta.url);
const path = (name: string) => fileURLToPath(new URL(name, folder));

interface Outcome {
  scale: number;
  tracker: number;
  patience: number;
  skipped: boolean;
  raised: boolean;
}

interface Adapter {
  create(subject: { system: string; rule: amp.ScaleRule; config: unknown }): {
    step(overflow: boolean): Outcome;
  };
}

interface Trace {
  name: string;
  rule: amp.ScaleRule;
  config: unknown;
  gradients: string;
  scale: number[];
}

interface Summary {
  system: string;
  traces: number;
  unknown: number;
  steps: number;
  differences: { trace: string; step: number; field: string; wanted: unknown; got: unknown }[];
}

const runner = (await import(new URL('run.mjs', folder).href)) as {
  compareFiles(create: Adapter['create'], files?: string[]): Summary[];
  readTraces(file: string): { system: string; traces: Trace[] };
};
const ours = (await import(new URL('mezzo.mjs', folder).href)) as Adapter;

const CODES: Record<string, string> = {
  apex: 'D5 K4',
  deepspeed: 'D1 D2',
  flax: 'D9',
  jmp: 'D8',
  keras: 'D7',
  megatron: 'D6',
  torch: 'K1 K2',
};

describe('one engine follows the published traces of every system', () => {
  for (const [system, codes] of Object.entries(CODES)) {
    test(`${codes}: ${system}`, () => {
      const [summary] = runner.compareFiles(ours.create, [path(`${system}.json`)]);
      assert.deepEqual(summary!.differences, []);
      assert.equal(summary!.unknown, 0);
      assert.ok(summary!.steps > 50, `only ${summary!.steps} steps`);
    });
  }
});

/** One field of the rule set to PyTorch's: the traces of that system must show it. */
const DEFECTS: [system: string, wrong: Partial<amp.ScaleRule>][] = [
  ['apex', { ceiling: null }],
  ['apex', { hysteresis: 1 }],
  ['apex', { refill: 'growth' }],
  ['deepspeed', { hysteresis: 1 }],
  ['deepspeed', { count: 'before' }],
  ['deepspeed', { countAfterGrowth: 0 }],
  ['deepspeed', { floor: null, raiseAtFloor: false }],
  ['deepspeed', { raiseAtFloor: false }],
  ['flax', { count: 'before' }],
  ['flax', { beyondFinite: 'refuse' }],
  ['flax', { floor: null }],
  ['jmp', { floor: null }],
  ['jmp', { kind: 'dynamic' }],
  ['keras', { beyondFinite: 'refuse' }],
  ['megatron', { refill: 'clean' }],
  ['megatron', { hysteresis: 1 }],
];

describe('the traces tell the rules apart', () => {
  for (const [system, wrong] of DEFECTS) {
    test(`${system} without its ${Object.keys(wrong).join(' and ')}`, () => {
      const create: Adapter['create'] = (subject) =>
        ours.create({ ...subject, rule: { ...subject.rule, ...wrong } });
      const [summary] = runner.compareFiles(create, [path(`${system}.json`)]);
      assert.ok(summary!.differences.length > 0);
    });
  }
});

test('G20: an interval lowered below the tracker, in each rule that counts', () => {
  for (const system of Object.keys(CODES)) {
    const { rule } = runner.readTraces(path(`${system}.json`)).traces[0]!;
    const lowered = { ...amp.TORCH_RULE, ...rule, name: system, growthInterval: 2, ceiling: null };
    const state = { ...amp.startOf(lowered), tracker: 7 };
    const { change } = amp.advance(lowered, state, { overflow: false, largest: null });
    assert.equal(change, 'growth', system);
  }
});

describe('the runner as a command', () => {
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [path('run.mjs'), ...args], {
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };

  test('says that an adapter agrees', () => {
    assert.deepEqual(run(path('mezzo.mjs'), path('torch.json')), {
      status: 0,
      stdout: 'torch: 10 traces, 57 steps, 0 differences\n',
      stderr: '',
    });
  });

  test('names the differences of one that does not', () => {
    const constant = new URL('../../test/fixtures/scaler-adapters/constant.mjs', import.meta.url);
    const { status, stdout } = run(fileURLToPath(constant), path('torch.json'));
    assert.equal(status, 1);
    assert.match(
      stdout,
      /^torch: 10 traces, 57 steps, \d+ differences\n {2}default_constants: step 1: scale is 8, recorded 65536\n/,
    );
  });

  test('explains its use', () => {
    assert.deepEqual(run(), {
      status: 2,
      stdout: '',
      stderr: 'usage: node run.mjs ADAPTER.mjs [TRACES.json …]\n',
    });
  });
});
