import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, nn } from '@mezzo/torch';
import { CharacterGpt, lesson, texts } from '../character-gpt.ts';
import { uniform } from '../data/random.ts';
import { ALPHABET, stories } from '../data/text.ts';
import { openRun } from '../lesson.ts';
import { DTYPES, oneStep } from './one-step.ts';

const written = (letters: readonly number[]) => letters.map((letter) => ALPHABET[letter]).join('');

test('verbs and pronouns of a story agree with its first noun, and the second noun tells nothing', () => {
  const draw = uniform(0);
  let misled = 0;
  for (let i = 0; i < 400; i++) {
    const { letters, agreement } = stories(48, draw);
    const text = written(letters);
    const parts = /^the \w+ (?:\w+?)(s?) near the \w+?(s?) (?:sing|sleep|wait|jump)(s?)\. (it|the)/.exec(
      text,
    );
    assert.ok(parts, text);
    const [, noun, place, verb, pronoun] = parts;
    assert.equal(verb, noun === 's' ? '' : 's');
    assert.equal(pronoun, noun === 's' ? 'the' : 'it'); // 'they', cut off where the text ends
    misled += Number(place !== noun);
    const first = agreement.indexOf(true);
    assert.equal(text[first], noun === 's' ? '.' : 's');
  }
  assert.ok(misled > 160 && misled < 240, `${misled}`);
});

test('no letter sees the letters after it', () => {
  manualSeed(0);
  const model = new CharacterGpt();
  const { letters } = texts(1, uniform(0), 'cpu');
  const changed = letters.clone();
  changed.put([0, 30], 5);
  const [before, after] = [model.forward(letters), model.forward(changed)];
  assert.ok(before.narrow(1, 0, 30).equal(after.narrow(1, 0, 30)));
  assert.ok(!before.at(0, 30).equal(after.at(0, 30)));
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new CharacterGpt();
  const { letters, next } = texts(4, uniform(0), 'cpu');
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () =>
      criterion.forward(model.forward(letters).float().transpose(1, 2), next),
    );
    assert.ok(Math.abs(loss - Math.log(ALPHABET.length)) < 0.6, `${dtype}: ${loss}`);
  }
});

test('learns the agreement in bf16', async () => {
  const { untrained, trained } = await lesson.train(openRun({ seed: 0, dtype: 'bfloat16', device: 'cpu' }));
  assert.ok(untrained < 0.3, `untrained: ${untrained}`);
  assert.ok(trained >= lesson.goal, `trained: ${trained}`);
});
