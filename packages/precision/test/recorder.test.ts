import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, manualSeed, nn, randn, scope, type Tensor } from '@mezzo/torch';
import { driftsOf, FlightRecorder, Recording, recordingPage, recordingText } from '../src/index.ts';
import {
  BIN_ABOVE,
  BIN_BELOW,
  BIN_NOT_FINITE,
  BIN_ZERO,
  BINS,
  exponentOf,
  packShares,
  shareBelow,
  shareOfByte,
  topExponent,
} from '../src/recorder/exponents.ts';

/** Counts by biased float32 exponent. */
function counts(values: readonly number[]): Uint32Array {
  const found = new Uint32Array(256);
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  for (const each of bits) found[(each >>> 23) & 0xff]! += 1;
  return found;
}

function packed(values: readonly number[]): Uint8Array {
  const bins = new Uint8Array(BINS);
  packShares(counts(values), bins);
  return bins;
}

test('values land in the bins of their exponents', () => {
  const bins = packed([0, 1e-20, 1, 1.5, 2, 3.9, 4, 65504, 1e20, Number.NaN]);
  const filled = [...bins].flatMap((byte, bin) => (byte === 0 ? [] : [bin]));
  const inner = [0, 2, 14].map((exponent) => BIN_BELOW + 1 + (exponent + 32) / 2);
  assert.deepEqual(filled, [BIN_ZERO, BIN_BELOW, ...inner, BIN_ABOVE, BIN_NOT_FINITE]);
  assert.deepEqual(inner.map(exponentOf), [0, 2, 14]);
  // Four of ten values have exponent 0 or 1.
  assert.ok(Math.abs(shareOfByte(bins[inner[0]!]!) - 0.4) < 0.4 * 0.07);
});

test('the top exponent is just above the largest magnitude', () => {
  assert.equal(topExponent(packed([1, 3, 1000])), 10);
  assert.equal(topExponent(packed([65504, 1e-3])), 16);
  assert.equal(topExponent(packed([1, Number.POSITIVE_INFINITY])), Number.POSITIVE_INFINITY);
  assert.equal(topExponent(packed([1e15])), 34);
  assert.equal(topExponent(packed([1e-30])), -32);
  assert.equal(topExponent(packed([0, 0])), null);
});

test('one value in a million still shows', () => {
  const found = new Uint32Array(256);
  found[127] = 1_000_000;
  found[127 + 15] = 1;
  const bins = new Uint8Array(BINS);
  packShares(found, bins);
  assert.equal(topExponent(bins), 16);
});

test('the share that vanishes in fp16 leaves zeros aside', () => {
  const small = Array.from({ length: 30 }, () => 2 ** -26);
  const large = Array.from({ length: 70 }, () => 0.5);
  const share = shareBelow(packed([...small, ...large, 0, 0, 0]), -24);
  assert.ok(Math.abs(share - 0.3) < 0.03, String(share));
  assert.equal(shareBelow(packed([2 ** -40]), -132), 0);
});

function recordingOf(tops: readonly number[], capacity?: number): Recording {
  const recording = new Recording('float16', ['stem', 'head'], capacity);
  tops.forEach((top, i) => {
    const bins = new Uint8Array(recording.bytesPerSample);
    packShares(counts([2 ** (top - 1), 1]), bins.subarray(0, BINS));
    packShares(counts([1, 0.5]), bins.subarray(3 * BINS, 4 * BINS));
    recording.add({ window: 1 + 100 * i, scale: 1024, skipped: false, bins });
  });
  return recording;
}

test('a full recording keeps its latest samples and an even spread of the others', () => {
  const recording = recordingOf(
    Array.from({ length: 300 }, () => 4),
    40,
  );
  const steps = recording.samples.map(({ index }) => index);
  assert.ok(steps.length <= 40 && steps.length > 30, String(steps));
  assert.deepEqual(
    steps.slice(-24),
    Array.from({ length: 24 }, (_, i) => 276 + i),
  );
  const early = steps.slice(0, -24);
  assert.equal(early[0], 0);
  const gaps = new Set(early.slice(1).map((step, i) => step - early[i]!));
  assert.deepEqual([...gaps], [32]);
  const again = Recording.from(JSON.parse(JSON.stringify(recording)), 'run.json', 40);
  const next = { window: 30_001, scale: 1, skipped: false, bins: new Uint8Array(recording.bytesPerSample) };
  recording.add(next);
  again.add(next);
  assert.deepEqual(
    again.samples.map(({ index, window }) => [index, window]),
    recording.samples.map(({ index, window }) => [index, window]),
  );
});

test('drift names the layer that will leave the format, and when', () => {
  // 2 powers of two every 400 steps: 5 in 1,000.
  const recording = recordingOf([2, 2, 4, 4, 4, 4, 6, 6, 6, 6, 8, 8]);
  const [first, second] = driftsOf(recording);
  assert.equal(`${first!.layer} ${first!.kind}`, 'stem weights');
  assert.deepEqual([first!.first, first!.last, first!.headroom], [2, 8, 8]);
  assert.ok(Math.abs(first!.slope - 5) < 1, String(first!.slope));
  assert.equal(first!.stepsLeft, Math.round((8 / first!.slope) * 1000));
  assert.equal(second!.layer, 'head');
  assert.deepEqual([second!.slope, second!.stepsLeft], [0, null]);
  const [title, header, ...rows] = recordingText(recording).split('\n');
  assert.equal(title, '12 samples, steps 1 to 1101, limits of float16; tops are exponents of two');
  assert.match(header!, /^layer +values +first +last +headroom +drift\/1000 +steps left +vanished$/);
  assert.match(rows[0]!, /^stem +weights +2 +8 +8 +\d\.\d\d +\d+ +0\.00 %$/);
  assert.equal(recordingText(new Recording('float16', [])), 'The recording holds no samples yet.');
});

test('a recording comes back from its file, and a damaged one is refused', () => {
  const recording = recordingOf([2, 4, 6]);
  const file = JSON.parse(JSON.stringify(recording));
  const again = Recording.from(file, 'run.json');
  assert.deepEqual(again.layers, recording.layers);
  assert.equal(again.samples.length, recording.samples.length);
  for (const [i, { bins, ...sample }] of recording.samples.entries()) {
    const { bins: found, ...rest } = again.samples[i]!;
    assert.deepEqual(rest, sample);
    assert.deepEqual([...found], [...bins]);
  }
  const refused = (value: unknown, message: string) =>
    assert.throws(() => Recording.from(value, 'run.json'), { code: 'BAD_RECORDING', message });
  refused({}, 'run.json is no recording of the flight recorder');
  refused(null, 'run.json is no recording of the flight recorder');
  refused({ ...file, version: 2 }, 'run.json: version 2 is newer than this Mezzo');
  refused({ ...file, layers: 3 }, 'run.json: layers, samples or histograms are missing');
  refused({ ...file, bins: 'AAAA' }, 'run.json: the histograms are damaged');
  const fewer = { ...file, samples: file.samples.slice(1) };
  refused(fewer, `run.json: ${3 * 2 * 3 * BINS} bytes of histograms, but 2 samples need ${2 * 2 * 3 * BINS}`);
});

test('the page stands alone and cannot be broken out of', () => {
  const recording = new Recording('float16', ['</script><b>']);
  const page = recordingPage(recording, 'a <b> & c');
  assert.ok(page.includes('<title>a &lt;b&gt; &amp; c</title>'));
  assert.equal(page.split('</script>').length, 3);
  assert.doesNotMatch(page, /https?:|src=|href=/);
});

class Net extends nn.Module {
  first = new nn.Linear(4, 8);
  second = new nn.Linear(8, 1);

  override forward(x: Tensor): Tensor {
    return this.second.forward(this.first.forward(x).relu());
  }
}

test('a sample holds what weights, activations and gradients were', () => {
  manualSeed(0);
  const model = new Net();
  const recorder = new FlightRecorder({ model, dtype: 'float16', every: 3 });
  assert.deepEqual(recorder.recording.layers, ['first', 'second']);
  let output: Tensor | undefined;
  const tap = model.second.registerForwardHook((_module: unknown, _inputs: unknown, y: unknown) => {
    output = (y as Tensor).detach();
  });
  for (let window = 1; window <= 4; window++) {
    scope(() => {
      const due = recorder.begin(window);
      assert.equal(due, window !== 3);
      const x = randn([17, 4]);
      autocast({ device: 'cpu' }, () => model.forward(x))
        .float()
        .square()
        .sum()
        .backward();
      recorder.gradients();
      const expected = {
        weights: [...numbers(model.second.weight), ...numbers(model.second.bias!)],
        gradients: [...numbers(model.second.weight.grad!), ...numbers(model.second.bias!.grad!)],
        activations: numbers(output!).filter((_, i) => i % 17 === 0),
      };
      recorder.end({ window, scale: null, applied: true });
      if (due) {
        const sample = recorder.recording.samples.at(-1)!;
        for (const kind of ['weights', 'gradients', 'activations'] as const) {
          const found = recorder.recording.histogram(sample, 1, kind);
          assert.deepEqual([...found], [...packed(expected[kind])], kind);
        }
      }
      model.zeroGrad();
    });
  }
  assert.deepEqual(
    recorder.recording.samples.map(({ window }) => window),
    [1, 2, 4],
  );
  tap.remove();
  assert.equal(Object.hasOwn(model.second, 'forward'), false, 'the model is as it was');
});

const numbers = (tensor: Tensor): number[] => Array.from(tensor.float().toTypedArray() as Float32Array);
