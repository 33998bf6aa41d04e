import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { autocast, cuda, manualSeed, nn, ones, profiler, randn } from '../src/index.ts';

const { profile, recordFunction } = profiler;

const BATCH = 4;

/** A step of a small network, its forward pass under a label. */
function step(model: nn.Sequential) {
  const loss = recordFunction('my forward', () =>
    model
      .forward(randn([BATCH, 3]))
      .square()
      .mean(),
  );
  loss.backward();
  return loss;
}

function network(): nn.Sequential {
  manualSeed(0);
  return new nn.Sequential(new nn.Linear(3, 5), new nn.ReLU(), new nn.Linear(5, 2));
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

describe('profile', () => {
  test('records the operators of forward and backward, with calls inside calls', () => {
    const made = profile(() => step(network()));
    assert.equal(made.result.shape.length, 0);
    const named = (name: string) => made.events.filter((event) => event.name === name);
    assert.equal(named('aten::linear').length, 2);
    const [label] = named('my forward');
    assert.equal(label!.label, true);
    for (const linear of named('aten::linear')) assert.equal(linear.parent, label);
    assert.deepEqual(
      named('aten::addmm').map(({ parent }) => parent!.name),
      ['aten::linear', 'aten::linear'],
    );
    const backward = named('AddmmBackward0');
    assert.equal(backward.length, 2);
    assert.equal(backward[0]!.parent!.name, 'autograd::engine::evaluate_function: AddmmBackward0');
    for (const event of made.events) {
      const inside = made.events.filter(({ parent }) => parent === event);
      const own = event.seconds - sum(inside.map(({ seconds }) => seconds));
      assert.ok(Math.abs(event.selfSeconds - own) < 1e-9, event.name);
      assert.ok(event.selfSeconds >= -1e-9, `${event.name}: ${event.selfSeconds}`);
    }
    const roots = made.events.filter(({ parent }) => parent === null);
    assert.ok(sum(roots.map(({ seconds }) => seconds)) <= made.seconds);
  });

  test('key averages sum up calls, by shapes on demand', () => {
    const made = profile({ recordShapes: true }, () => step(network()));
    const averages = made.keyAverages();
    const linear = averages.find(({ name }) => name === 'aten::linear')!;
    assert.deepEqual([linear.count, linear.shapes], [2, null]);
    assert.ok(linear.selfCpuSeconds < linear.cpuSeconds);
    const total = sum(averages.map(({ selfCpuSeconds }) => selfCpuSeconds));
    assert.ok(Math.abs(total - sum(made.events.map(({ selfSeconds }) => selfSeconds))) < 1e-9);
    const byShape = made
      .keyAverages({ groupByInputShape: true })
      .filter(({ name }) => name === 'aten::linear');
    assert.deepEqual(
      byShape.map(({ shapes, count }) => [shapes, count]),
      [
        [[[BATCH, 3], [5, 3], [5]], 1],
        [[[BATCH, 5], [2, 5], [2]], 1],
      ],
    );
  });

  test('an operator that calls itself counts once in the total', () => {
    const made = profile(() => recordFunction('twice', () => recordFunction('twice', () => ones([2]))));
    const [outer] = made.events.filter(({ name }) => name === 'twice');
    const twice = made.keyAverages().find(({ name }) => name === 'twice')!;
    assert.equal(twice.count, 2);
    assert.equal(twice.cpuSeconds, outer!.seconds);
  });

  test('memory: what is allocated and freed within a call', () => {
    const made = profile({ profileMemory: true }, () => {
      const kept = recordFunction('kept', () => ones([1024]));
      recordFunction('freed', () => ones([1024]).dispose());
      return kept;
    });
    const bytes = (name: string) => made.events.find((event) => event.name === name)!.bytes;
    assert.ok(bytes('kept') >= 4096 && bytes('kept') < 4096 + 64, String(bytes('kept')));
    assert.equal(bytes('freed'), 0);
    assert.match(made.keyAverages().table(), /Self bytes {2,}Bytes/);
  });

  test('the table', () => {
    const made = profile(() => step(network()));
    const lines = made.keyAverages().table({ sortBy: 'count', rowLimit: 3 }).split('\n');
    assert.equal(lines.length, 7);
    assert.match(lines[0]!, /^Name +Self CPU % +Self CPU +CPU total +CPU mean +Calls$/);
    assert.match(lines.at(-1)!, /^Self CPU time total: [\d.]+(us|ms|s)$/);
    const calls = lines.slice(2, 5).map((line) => Number(line.split(/ +/).at(-1)));
    assert.deepEqual(
      calls,
      [...calls].sort((a, b) => b - a),
    );
    assert.equal(String(made), String(made.keyAverages()));
    assert.throws(() => made.keyAverages().table({ sortBy: 'selfCpuSecond' as profiler.SortKey }), {
      code: 'VALUE',
      message:
        "profiler: no column 'selfCpuSecond' to sort by; did you mean 'selfCpuSeconds' or 'selfCudaSeconds'?",
    });
  });

  test('under autocast the casts are inside the operators', () => {
    const model = network();
    const made = profile(() =>
      autocast({ device: 'cpu', dtype: 'bfloat16' }, () => model.forward(randn([BATCH, 3]))),
    );
    const casts = made.events.filter(({ name }) => name === 'aten::_to_copy');
    assert.equal(casts.length, 5);
    assert.ok(
      casts.every(({ parent }) => parent?.name === 'aten::to' && parent.parent?.name === 'aten::linear'),
    );
  });

  test('the Chrome trace', () => {
    const made = profile({ recordShapes: true }, () => step(network()));
    const { traceEvents } = JSON.parse(JSON.stringify(made.chromeTrace())) as profiler.ChromeTrace;
    const [meta, ...events] = traceEvents;
    assert.deepEqual(meta, {
      ph: 'M',
      name: 'process_name',
      pid: process.pid,
      tid: 0,
      args: { name: `node ${process.pid} (CPU)` },
    });
    assert.equal(events.length, made.events.length);
    const label = events.find(({ name }) => name === 'my forward')!;
    const linear = events.find(({ name }) => name === 'aten::linear')!;
    assert.deepEqual([label.ph, label.cat, linear.cat], ['X', 'user_annotation', 'cpu_op']);
    assert.deepEqual(linear.args['Input Dims'], [[BATCH, 3], [5, 3], [5]]);
    assert.ok(label.ts! <= linear.ts! && linear.ts! + linear.dur! <= label.ts! + label.dur!);
  });

  test('errors pass through and end the profile; profiles do not nest', () => {
    const wrong = new Error('mine');
    assert.throws(
      () =>
        profile(() => {
          throw wrong;
        }),
      wrong,
    );
    assert.throws(() => profile(() => profile(() => 1)), {
      code: 'BAD_ARGUMENT',
      message: 'the profiler is running already',
    });
    assert.throws(() => profile(async () => 1), { code: 'ASYNC_REGION' });
    assert.throws(() => recordFunction('a', async () => 1), { code: 'ASYNC_REGION' });
    assert.equal(profile(() => 3).result, 3);
  });

  test('outside a profile a label only calls its function', () => {
    assert.equal(
      recordFunction('a', () => 5),
      5,
    );
  });

  test('on CUDA kernels belong to the operators that launched them', {
    skip: cuda.isAvailable() ? false : 'needs a CUDA device',
  }, () => {
    const x = randn([256, 256]).cuda();
    const made = profile(() => {
      const y = x.mm(x);
      cuda.synchronize();
      return y;
    });
    const mm = made.events.find(({ name }) => name === 'aten::mm')!;
    assert.ok(mm.cudaSeconds > 0);
    assert.ok(made.kernels.some(({ launchedBy }) => launchedBy === mm));
    assert.match(made.keyAverages().table(), /Self CUDA +CUDA total/);
  });
});
