/**
 * A Transformer encoder reads sentences with their translations and finds the words that were hidden from it.
 *
 *     ./mezzo example masked-tokens
 *
 * Task: Devlin et al., BERT (arXiv 1810.04805), section 3.1: 15 % of the words are to be told; of those 80 % are hidden,
 * 10 % replaced by another word, 10 % left. Sentence and translation side by side: Conneau and Lample, arXiv 1901.07291.
 * Ceiling: a word is known when its translation is not hidden too, so nobody reaches more than about 0.88.
 */
import { arange, nn, noGrad, optim, rand, randint, scope, type Tensor, tensor, where } from '@mezzo/torch';
import { uniform } from './data/random.ts';
import { LENGTH, translated, WORDS } from './data/text.ts';
import type { Lesson, Run } from './lesson.ts';

const MASK = 2 * WORDS; // the number of the token that hides a word
const WIDTH = 64;
const HEADS = 4;
const LAYERS = 2;
const BATCH = 64; // sentences
const STEPS = 300;
const LR = 4e-3; // highest
const SENTENCES = 4000;
const HELD_OUT = 1000;

/** Tokens [N, L] to the scores of the word at each place, [N, L, 2 WORDS]. */
export class Encoder extends nn.Layer {
  readonly words = new nn.Embedding(2 * WORDS + 1, WIDTH);
  readonly places = new nn.Embedding(2 * LENGTH, WIDTH);
  readonly layers = new nn.Sequential(
    ...Array.from(
      { length: LAYERS },
      () =>
        new nn.TransformerEncoderLayer(WIDTH, HEADS, {
          dimFeedforward: 4 * WIDTH,
          activation: 'gelu',
          dropout: 0,
          batchFirst: true,
          normFirst: true,
        }),
    ),
  );
  readonly norm = new nn.LayerNorm(WIDTH);
  readonly head = new nn.Linear(WIDTH, 2 * WORDS);

  override forward(tokens: Tensor): Tensor {
    const places = this.places.forward(arange(2 * LENGTH, { device: tokens.device }));
    const x = this.layers.forward(this.words.forward(tokens).add(places));
    return this.head.forward(this.norm.forward(x));
  }
}

/** BERT's game: `tokens` with some hidden or replaced, and `asked`, where a word is to be told. */
export function hide(tokens: Tensor): { shown: Tensor; asked: Tensor } {
  const { shape, device } = tokens;
  const asked = rand(shape, { device }).lt(0.15);
  const dice = rand(shape, { device });
  const replaced = where(dice.lt(0.9), randint(0, MASK, shape, { device }), tokens);
  return { shown: where(asked, where(dice.lt(0.8), MASK, replaced), tokens), asked };
}

export const sentences = (count: number, draw: () => number, device: string): Tensor =>
  tensor(
    Array.from({ length: count }, () => translated(draw)),
    { dtype: 'int64', device },
  );

function train(run: Run) {
  const learn = sentences(SENTENCES, uniform(run.seed), run.device);
  const heldOut = sentences(HELD_OUT, uniform(run.seed + 1000), run.device);
  const quiz = hide(heldOut);
  const model = new Encoder().to(run.device);
  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, betas: [0.9, 0.98], weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const crossEntropy = new nn.CrossEntropyLoss();

  const test = () =>
    scope(() => {
      const told = noGrad(() => run.amp(() => model.forward(quiz.shown))).argmax(2);
      return Number(told.eq(heldOut).at(quiz.asked).float().mean().item());
    });

  const untrained = test();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const tokens = learn.at(randint(0, SENTENCES, [BATCH], { device: run.device }));
      const { shown, asked } = hide(tokens);
      const scores = run.amp(() => model.forward(shown));
      const loss = crossEntropy.forward(scores.at(asked).float(), tokens.at(asked));
      optimizer.zeroGrad();
      run.scaler.scale(loss).backward();
      run.scaler.unscale_(optimizer);
      nn.utils.clipGradNorm_(model.parameters(), 1);
      run.scaler.step(optimizer);
      run.scaler.update();
      schedule.step();
      if (step % 20 === 0) run.progress(step, STEPS, `loss ${Number(loss.item()).toFixed(3)}`);
    });
  }
  return { untrained, trained: test() };
}

export const lesson: Lesson = {
  about: 'A Transformer encoder tells the words that were hidden in sentences and their translations.',
  source: 'Devlin et al., BERT, arXiv 1810.04805; Conneau and Lample, arXiv 1901.07291',
  measure: 'accuracy',
  goal: 0.85,
  train,
};
