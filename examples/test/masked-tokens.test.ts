import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn } from '@mezzo/torch';
import { uniform } from '../data/random.ts';
import { LENGTH, translated, WORDS } from '../data/text.ts';
import { openRun } from '../lesson.ts';
import { Encoder, hide, lesson, sentences } from '../masked-tokens.ts';
import { DTYPES, oneStep } from './one-step.ts';

test('a translation is the sentence in the other language, backwards', () => {
  const words = translated(uniform(0));
  assert.equal(words.length, 2 * LENGTH);
  for (let i = 0; i < LENGTH; i++) assert.equal(words[2 * LENGTH - 1 - i], words[i]! + WORDS);
});

test('of the words 15 % are asked for: 80 % of these hidden, 10 % replaced, 10 % left; the others stay', () => {
  manualSeed(0);
  const tokens = sentences(5000, uniform(0), 'cpu');
  const { shown, asked } = hide(tokens);
  const share = (of: typeof tokens) => Number(of.float().mean().item());
  const near = (value: number, wanted: number) => assert.ok(Math.abs(value - wanted) < 0.01, `${value}`);
  near(share(asked), 0.15);
  near(share(shown.at(asked).eq(2 * WORDS)), 0.8);
  near(share(shown.at(asked).eq(tokens.at(asked))), 0.1 + 0.1 / (2 * WORDS));
  assert.ok(shown.at(asked.logicalNot()).equal(tokens.at(asked.logicalNot())));
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new Encoder();
  const tokens = sentences(8, uniform(0), 'cpu');
  const { shown, asked } = hide(tokens);
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () =>
      criterion.forward(model.forward(shown).at(asked).float(), tokens.at(asked)),
    );
    assert.ok(Math.abs(loss - Math.log(2 * WORDS)) < 0.6, `${dtype}: ${loss}`);
  }
});

test('finds the hidden words in bf16', async () => {
  const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' }));
  assert.ok(untrained < 0.1, `untrained: ${untrained}`);
  assert.ok(trained >= lesson.goal, `trained: ${trained}`);
});
