/**
 * Strided convolutions over raw sound learn to tell spoken words apart, by many voices and in noise.
 *
 *     ./mezzo example wav2vec
 *
 * Encoder: Schneider, Baevski, Collobert and Auli, wav2vec (arXiv 1904.05862), section 3.1: each layer sees a longer
 * stretch of sound and passes on fewer steps in time. Here it is smaller, has BatchNorm instead of GroupNorm, which needs
 * fewer steps, and learns from labels, after Collobert, Puhrsch and Synnaeve, Wav2Letter (arXiv 1609.03193).
 */
import { cat, nn, noGrad, optim, randint, scope, stack, type Tensor, tensor } from '@mezzo/torch';
import { speak } from './data/audio.ts';
import { pick, uniform } from './data/random.ts';
import type { Lesson, Run } from './lesson.ts';

// Pairs of the same syllables in another order: what sounds there are tells no word from the other.
export const WORDS = ['masi', 'sima', 'tuno', 'notu', 'kefa', 'fake', 'nimo', 'moni', 'seku', 'kuse'];
const SECONDS = 0.6; // of sound, a word somewhere in it
const TRAIN = 1000; // words, each by another voice
const HELD_OUT = 320;
const BATCH = 32;
const CHANNELS = 64;
const STEPS = 150;
const LR = 3e-3; // highest

/** One layer of the encoder. */
const strided = (from: number, kernel: number, stride: number) => [
  new nn.Conv1d(from, CHANNELS, kernel, { stride }),
  new nn.BatchNorm1d(CHANNELS),
  new nn.ReLU(),
];

/** Sound [N, samples] to the scores of the words, [N, words]. */
export class WordRecognizer extends nn.Layer {
  readonly encoder = new nn.Sequential(
    ...strided(1, 10, 5),
    ...strided(CHANNELS, 8, 4),
    ...strided(CHANNELS, 4, 2),
    ...strided(CHANNELS, 4, 2), // 80 samples a step: 10 ms
  );
  readonly context = new nn.Sequential(...strided(CHANNELS, 9, 2), ...strided(CHANNELS, 9, 2));
  readonly head = new nn.Linear(CHANNELS, WORDS.length);

  override forward(sound: Tensor): Tensor {
    const steps = this.context.forward(this.encoder.forward(sound.unsqueeze(1)));
    return this.head.forward(steps.mean(2));
  }
}

/** Words with their numbers: `sound` [N, samples], `word` [N]. */
export function spoken(count: number, draw: () => number, device: string) {
  const words = Array.from({ length: count }, () => pick(draw, [...WORDS.keys()]));
  const sound = stack(words.map((word) => tensor(speak(WORDS[word]!, SECONDS, draw))));
  return { sound: sound.to(device), word: tensor(words, { dtype: 'int64', device }) };
}

function train(run: Run) {
  const learn = scope(() => spoken(TRAIN, uniform(run.seed), run.device));
  const heldOut = scope(() => spoken(HELD_OUT, uniform(run.seed + 1000), run.device));
  const model = new WordRecognizer().to(run.device);
  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const crossEntropy = new nn.CrossEntropyLoss();

  const test = () =>
    scope(() => {
      const read = (sound: Tensor) => run.amp(() => model.forward(sound)).argmax(1);
      model.eval();
      const words = noGrad(() => cat(heldOut.sound.split(BATCH).map(read)));
      model.train();
      return Number(words.eq(heldOut.word).float().mean().item());
    });

  const untrained = test();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const batch = randint(0, TRAIN, [BATCH], { device: run.device });
      const scores = run.amp(() => model.forward(learn.sound.at(batch)));
      const loss = crossEntropy.forward(scores.float(), learn.word.at(batch));
      optimizer.zeroGrad();
      run.scaler.scale(loss).backward();
      run.scaler.step(optimizer);
      run.scaler.update();
      schedule.step();
      if (step % 20 === 0) run.progress(step, STEPS, `loss ${Number(loss.item()).toFixed(3)}`);
    });
  }
  return { untrained, trained: test() };
}

export const lesson: Lesson = {
  about: 'Strided convolutions over raw sound tell spoken words apart.',
  source: 'Schneider et al., wav2vec, arXiv 1904.05862; Collobert et al., Wav2Letter, arXiv 1609.03193',
  measure: 'accuracy',
  goal: 0.9,
  train,
};
