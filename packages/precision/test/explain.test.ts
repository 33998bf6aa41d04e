import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  atLayer,
  type Explanation,
  explain,
  explanationJson,
  explanationPage,
  explanationText,
  type LayerExplanation,
} from '@mezzo/precision';
import { autocast, getRngState, manualSeed, nn, randn, scope, type Tensor } from '@mezzo/torch';

class Small extends nn.Module {
  conv = new nn.Conv2d(3, 16, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(16);
  act = new nn.SiLU();
  drop = new nn.Dropout(0.2);
  head = new nn.Linear(16, 2);

  override forward(x: Tensor): Tensor {
    return this.head.forward(
      this.drop.forward(this.act.forward(this.norm.forward(this.conv.forward(x)))).mean([2, 3]),
    );
  }
}

function explainSmall(
  options: { gradients?: boolean; scale?: number; dtype?: 'bfloat16' | 'float16'; gain?: number } = {},
) {
  const { gain = 1, dtype = 'bfloat16', ...rest } = options;
  return scope(() => {
    manualSeed(0);
    const model = new Small();
    model.drop.p = 0;
    const x = randn([2, 3, 8, 8]);
    return explain({
      model,
      precision: { device: 'cpu', dtype },
      run: (region) => {
        const y = autocast(region, () => model.forward(x));
        return atLayer('loss', () => y.float().square().mean().mul(gain));
      },
      ...rest,
    });
  });
}

const layer = ({ layers }: Explanation, name: string): LayerExplanation => {
  const found = layers.find((each) => each.name === name);
  assert.ok(found, `${name} of ${layers.map((each) => each.name)}`);
  return found;
};

test('each layer and operator comes with dtypes, rule, casts and share of the step', () => {
  const explanation = explainSmall();
  assert.deepEqual(
    explanation.layers.map(({ name, type }) => [name, type]),
    [
      ['', 'Small'],
      ['conv', 'Conv2d'],
      ['norm', 'BatchNorm2d'],
      ['act', 'SiLU'],
      ['drop', 'Dropout'],
      ['head', 'Linear'],
      ['loss', null],
      ['(outside)', null],
    ],
  );
  const conv = layer(explanation, 'conv').ops[0]!;
  assert.equal(conv.op, 'aten::conv2d');
  assert.deepEqual(conv.in, ['float32', 'float32', 'float32']);
  assert.deepEqual(conv.computed, ['bfloat16', 'bfloat16', 'bfloat16']);
  assert.equal(conv.out, 'bfloat16');
  assert.equal(conv.rule, 'low list');
  assert.equal(conv.why, 'autocast casts its inputs to bfloat16');
  assert.equal(conv.castBytes, (2 * 3 * 64 + 16 * 27 + 16) * 6);
  assert.equal(layer(explanation, 'norm').ops.find(({ op }) => op === 'aten::batch_norm')?.out, 'bfloat16');
  const back = layer(explanation, 'conv').ops.find(({ op }) => op === 'aten::convolution_backward')!;
  assert.equal(back.why, 'the dtype that aten::conv2d ran in');

  const { totals, layers } = explanation;
  const total = (value: (each: LayerExplanation) => number) =>
    layers.reduce((sum, each) => sum + value(each), 0);
  assert.ok(Math.abs(total(({ share }) => share) - 1) < 1e-9);
  assert.ok(Math.abs(total(({ seconds }) => seconds) - totals.seconds) < 1e-9);
  assert.equal(
    total(({ castBytes }) => castBytes),
    totals.castBytes,
  );
  assert.ok(Math.abs(Object.values(totals.byDtype).reduce((a, b) => a + b) - totals.seconds) < 1e-9);
  // conv2d, its backward, linear, and the two products of linear's backward (its input needs a gradient).
  assert.equal(totals.products.count, 5);
  assert.deepEqual(explanation.detours, []);
});

test('explaining leaves the model, its gradients and the generators as they were', () =>
  scope(() => {
    const model = new Small();
    const x = randn([2, 3, 8, 8]);
    model.forward(x).sum().backward();
    const state = () => [
      ...Object.values(model.stateDict()).map((tensor) => [...tensor.toTypedArray()]),
      ...model.parameters().map(({ grad }) => [...grad!.toTypedArray()]),
      [...getRngState()],
    ];
    const before = state();
    explain({
      model,
      precision: { device: 'cpu', dtype: 'bfloat16' },
      gradients: true,
      run: (region) => autocast(region, () => model.forward(x).float().sum()),
    });
    assert.deepEqual(state(), before);
  }));

test('gradients: norms, cosine, and the shares that are too small or too large', () => {
  const sound = layer(explainSmall({ gradients: true }), 'conv').gradient!;
  assert.ok(sound.cosine! > 0.99 && sound.cosine! < 1, `cosine ${sound.cosine}`);
  assert.ok(Math.abs(sound.norm.low / sound.norm.float32 - 1) < 0.05);
  assert.deepEqual(
    [sound.underflow, sound.overflow],
    [
      { float32: 0, low: 0 },
      { float32: 0, low: 0 },
    ],
  );

  // A loss so small that its gradients vanish in fp16, unless they are scaled.
  const tiny = { gradients: true, dtype: 'float16', gain: 2 ** -30 } as const;
  const vanished = layer(explainSmall({ ...tiny, scale: 1 }), 'conv').gradient!;
  assert.ok(vanished.underflow.float32 > 0.99 && vanished.underflow.low > 0.99);
  assert.equal(vanished.cosine, null);
  const scaled = layer(explainSmall({ ...tiny, scale: 2 ** 30 }), 'conv').gradient!;
  assert.ok(scaled.underflow.float32 < 0.05 && scaled.cosine! > 0.99, `cosine ${scaled.cosine}`);

  const huge = layer(explainSmall({ gradients: true, dtype: 'float16', scale: 2 ** 60 }), 'conv').gradient!;
  assert.ok(huge.overflow.float32 > 0.99 && huge.overflow.low > 0.99);
  assert.equal(huge.cosine, null);
});

test('the forward pass alone, and float32 without autocast', () =>
  scope(() => {
    const model = new nn.Sequential(new nn.Linear(4, 4));
    const x = randn([2, 4]);
    const explanation = explain({
      model,
      backward: false,
      precision: { device: 'cpu', dtype: 'float32' },
      run: (region) => autocast(region, () => model.forward(x).sum()),
    });
    const found = layer(explanation, '0').ops;
    assert.deepEqual(
      found.map(({ op, phase, rule, out }) => [op, phase, rule, out]),
      [['aten::linear', 'forward', 'inputs', 'float32']],
    );
    assert.match(explanationText(explanation), /^One forward pass in float32 on cpu \(/);
  }));

test('the page is one file without anything outside it, and holds the explanation', () => {
  const explanation = explainSmall({ gradients: true });
  const page = explanationPage(explanation, 'A <b> & </script>');
  assert.doesNotMatch(page, /https?:|src=|href=|@import|url\(/);
  assert.match(page, /<title>A &lt;b&gt; &amp; &lt;\/script&gt;<\/title>/);
  assert.equal(page.match(/<\/script>/g)!.length, 2);
  assert.match(page, /<input id="find" type="search"/);
  const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!;
  const { title, ...rest } = JSON.parse(data) as { title: string };
  assert.equal(title, 'A <b> & </script>');
  assert.deepEqual(rest, JSON.parse(explanationJson(explanation)));
});

test('the text names totals, the dearest operators and gradients', () => {
  const text = explanationText(explainSmall({ gradients: true }), { rows: 3 });
  assert.match(
    text,
    /^One training step in bfloat16 on cpu \(.*\)\n {2}operators {2}\d+\.\d\d ms: bfloat16 \d/,
  );
  assert.match(text, /\nlayer +operator +dtypes +rule +ms +step +casts +MB +ms +matrix unit\n/);
  assert.match(text, /\n… and \d+ more\n/);
  assert.match(text, /\nNo data is cast back and forth\.\n/);
  assert.match(text, /\nGradients, float32 against bfloat16 \(loss scale 1\), the least alike first\n/);
});
