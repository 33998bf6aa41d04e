import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arange, manualSeed, nn, ops, type Tensor } from '@mezzo/torch';
import { RATE, speak } from '../data/audio.ts';
import { uniform } from '../data/random.ts';
import { spoken, WORDS, WordRecognizer } from '../wav2vec.ts';
import { DTYPES, oneStep } from './one-step.ts';

const share = (right: Tensor): number => Number(right.float().mean().item());

test('a seed gives the same sound, never the same voice twice', () => {
  const draw = uniform(0);
  const first = speak('masi', 0.6, draw);
  assert.equal(first.length, 0.6 * RATE);
  assert.ok(first.every((sample) => Math.abs(sample) < 30));
  assert.deepEqual(speak('masi', 0.6, uniform(0)), first);
  assert.notDeepEqual(speak('masi', 0.6, draw), first);
});

test('the sounds of a word, without their order, do not tell it', () => {
  const [learn, heldOut] = [spoken(400, uniform(0), 'cpu'), spoken(200, uniform(1), 'cpu')];
  const spectrum = (sound: Tensor) => ops.fft_rfft(sound).abs().pow(2).narrow(1, 0, 2400);
  const averages = (sound: Tensor) => spectrum(sound).unflatten(1, [48, 50]).mean(2).log();
  const centres = arange(WORDS.length)
    .unbind()
    .map((word) => averages(learn.sound).at(learn.word.eq(word)).mean(0));
  const distances = centres.map((centre) => averages(heldOut.sound).sub(centre).pow(2).sum(1));
  const nearest = ops.stack(distances, 1).argmin(1);
  const accuracy = share(nearest.eq(heldOut.word));
  assert.ok(accuracy < 0.65, `${accuracy}`);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new WordRecognizer();
  const { sound, word } = spoken(4, uniform(0), 'cpu');
  const criterion = new nn.CrossEntropyLoss();
  for (const dtype of DTYPES) {
    const loss = oneStep(dtype, model, () => criterion.forward(model.forward(sound).float(), word));
    assert.ok(Math.abs(loss - Math.log(WORDS.length)) < 0.6, `${dtype}: ${loss}`);
  }
});
