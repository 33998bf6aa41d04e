/**
 * Convolutions and a GRU write down what was spoken, without having been told when which syllable was.
 *
 *     ./mezzo example speech-ctc
 *
 * Loss: Graves et al., Connectionist Temporal Classification (2006). Network: Amodei et al., Deep Speech 2
 * (arXiv 1512.02595): convolutions over the spectrogram, then recurrence in both directions; both much smaller.
 */
import { fullLike, nn, noGrad, ops, optim, randint, scope, stack, type Tensor, tensor } from '@mezzo/torch';
import { SYLLABLES, utterance } from './data/audio.ts';
import { editDistance } from './data/edit-distance.ts';
import { uniform } from './data/random.ts';
import type { Lesson, Run } from './lesson.ts';

const SECONDS = 1.8;
const WINDOW = 200; // samples of a spectrum, 25 ms
const HOP = 80; // samples from one spectrum to the next, 10 ms
const BANDS = 24;
const CHANNELS = 32;
const HIDDEN = 64;
const TRAIN = 800; // utterances, each by another voice
const HELD_OUT = 150;
const BATCH = 32;
const STEPS = 150;
const LR = 4e-3; // highest

/** Sound [samples] to the logarithm of its power in bands, [1, BANDS, time], of mean 0 and variance 1. */
export function spectrogram(sound: Tensor): Tensor {
  const window = ops.hann_window(WINDOW, { device: sound.device });
  const spectrum = ops.stft(sound, WINDOW, HOP, WINDOW, window, false, true, true);
  const power = spectrum
    .narrow(0, 1, 4 * BANDS)
    .abs()
    .pow(2); // bins of 40 Hz
  const bands = power.unflatten(0, [BANDS, 4]).mean(1).add(1e-3).log();
  return bands.sub(bands.mean()).div(bands.std()).unsqueeze(0);
}

/** Spectrograms to scores of the blank and of each syllable, [N, time / 4, 1 + syllables]. */
export class Recognizer extends nn.Layer {
  readonly convolutions = new nn.Sequential(
    new nn.Conv2d(1, CHANNELS, 3, { stride: 2, padding: 1 }),
    new nn.BatchNorm2d(CHANNELS),
    new nn.ReLU(),
    new nn.Conv2d(CHANNELS, CHANNELS, 3, { stride: 2, padding: 1 }),
    new nn.BatchNorm2d(CHANNELS),
    new nn.ReLU(),
  );
  readonly recurrence = new nn.GRU((CHANNELS * BANDS) / 4, HIDDEN, { bidirectional: true, batchFirst: true });
  readonly head = new nn.Linear(2 * HIDDEN, 1 + SYLLABLES.length);

  override forward(bands: Tensor): Tensor {
    const features = this.convolutions.forward(bands).flatten(1, 2).transpose(1, 2);
    return this.head.forward(this.recurrence.forward(features)[0]);
  }
}

/** Spectrograms of utterances, and what was said: numbers from 1 (0 is CTC's blank), [N, 5] with zeros at the end. */
export function spoken(count: number, draw: () => number, device: string) {
  const utterances = Array.from({ length: count }, () => utterance(SECONDS, draw));
  const bands = utterances.map(({ sound }) => scope(() => spectrogram(tensor(sound, { device }))));
  const said = utterances.map((each) => each.said);
  return { bands: stack(bands), said: tensor(said, { dtype: 'int64', device }) };
}

/** CTC over scores [N, time, symbols]. */
export function ctc(scores: Tensor, said: Tensor): Tensor {
  const logProbs = scores.float().logSoftmax(2).transpose(0, 1);
  const lengths = said.gt(0).sum(1);
  return nn.functional.ctcLoss(logProbs, said, fullLike(lengths, scores.shape[1]!), lengths);
}

/** The share of the symbols that need no correction. Read is the best symbol of each step, repetitions as one. */
async function accuracy(scores: Tensor, said: Tensor) {
  const [paths, lines] = (await Promise.all([scores.argmax(2).toArray(), said.toArray()])) as number[][][];
  const truth = lines!.map((line) => line.filter((symbol) => symbol !== 0));
  const read = paths!.map((path) => path.filter((symbol, i) => symbol !== 0 && symbol !== path[i - 1]));
  const errors = read.reduce((sum, line, i) => sum + editDistance(line, truth[i]!), 0);
  return Math.max(0, 1 - errors / truth.flat().length);
}

async function train(run: Run) {
  const learn = scope(() => spoken(TRAIN, uniform(run.seed), run.device));
  const heldOut = scope(() => spoken(HELD_OUT, uniform(run.seed + 1000), run.device));
  const model = new Recognizer().to(run.device);
  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });

  const test = () => {
    const scores = scope(() => noGrad(() => run.amp(() => model.eval().forward(heldOut.bands))));
    model.train();
    return accuracy(scores, heldOut.said);
  };

  const untrained = await test();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const batch = randint(0, TRAIN, [BATCH], { device: run.device });
      const scores = run.amp(() => model.forward(learn.bands.at(batch)));
      const loss = ctc(scores, learn.said.at(batch));
      optimizer.zeroGrad();
      run.scaler.scale(loss).backward();
      run.scaler.unscale_(optimizer);
      nn.utils.clipGradNorm_(model.parameters(), 1);
      run.scaler.step(optimizer);
      run.scaler.update();
      schedule.step();
      if (step % 10 === 0) run.progress(step, STEPS, `loss ${Number(loss.item()).toFixed(3)}`);
    });
  }
  return { untrained, trained: await test() };
}

export const lesson: Lesson = {
  about: 'Convolutions and a GRU write down spoken syllables that nobody had aligned with the sound.',
  source: 'Graves et al., CTC (2006); Amodei et al., Deep Speech 2, arXiv 1512.02595',
  measure: 'token accuracy',
  goal: 0.9,
  train,
};
