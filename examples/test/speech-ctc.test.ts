import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualSeed, tensor } from '@mezzo/torch';
import { RATE, SYLLABLES, utterance } from '../data/audio.ts';
import { editDistance } from '../data/edit-distance.ts';
import { uniform } from '../data/random.ts';
import { ctc, Recognizer, spectrogram, spoken } from '../speech-ctc.ts';
import { DTYPES, oneStep } from './one-step.ts';

test('an utterance has three to five syllables', () => {
  const draw = uniform(0);
  for (let i = 0; i < 20; i++) {
    const { said, sound } = utterance(1.8, draw);
    assert.equal(sound.length, 1.8 * RATE);
    const count = said.filter((number) => number > 0).length;
    assert.ok(count >= 3 && count <= 5);
    assert.deepEqual(said.slice(count), Array(5 - count).fill(0));
    assert.ok(said.every((number) => number <= SYLLABLES.length));
  }
});

test('a spectrogram has mean 0, variance 1, and a tone in its band', () => {
  const tone = Float32Array.from({ length: RATE }, (_, i) => Math.sin((2 * Math.PI * 1000 * i) / RATE));
  const bands = spectrogram(tensor(tone));
  assert.deepEqual(bands.shape.slice(0, 2), [1, 24]);
  assert.ok(Math.abs(Number(bands.mean().item())) < 1e-4);
  assert.ok(Math.abs(Number(bands.std().item()) - 1) < 1e-4);
  assert.equal(Number(bands.mean([0, 2]).argmax().item()), 6); // 980 to 1140 Hz
});

test('counts what to insert, to leave out and to exchange', () => {
  const letters = (word: string) => [...word].map((letter) => letter.charCodeAt(0));
  const rows = [
    ['kitten', 'sitting', 3],
    ['sunday', 'saturday', 3],
    ['abc', '', 3],
    ['', 'ab', 2],
    ['same', 'same', 0],
  ] as const;
  for (const [from, to, edits] of rows) assert.equal(editDistance(letters(from), letters(to)), edits);
});

test('makes a finite step in every precision', () => {
  manualSeed(0);
  const model = new Recognizer();
  const { bands, said } = spoken(4, uniform(0), 'cpu');
  for (const dtype of DTYPES) {
    // A scale of 2^16 is too high at the start for fp16; in training it comes down by itself.
    const loss = 64 * oneStep(dtype, model, () => ctc(model.forward(bands), said).div(64));
    assert.ok(loss > 5 && loss < 60, `${dtype}: ${loss}`);
  }
});
