/**
 * A small GPT learns to write, letter by letter, stories in which verb and pronoun must agree with a distant noun.
 *
 *     ./mezzo example character-gpt
 *
 * Network: Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.3: layers of causal
 * attention and a feed-forward net, each normalised before. Measure: Linzen, Dupoux and Goldberg (arXiv 1611.01368),
 * agreement in spite of a nearer noun, in stories held out: chance is 1/2 for who knows only the letters nearby.
 */
import { arange, nn, noGrad, optim, randint, scope, type Tensor, tensor } from '@mezzo/torch';
import { uniform } from './data/random.ts';
import { ALPHABET, stories } from './data/text.ts';
import type { Lesson, Run } from './lesson.ts';

const CONTEXT = 48; // letters
const WIDTH = 64;
const HEADS = 2;
const LAYERS = 2;
const BATCH = 32;
const STEPS = 300;
const LR = 4e-3; // highest
const TEXTS = 1000; // of CONTEXT letters, to learn from; 6144 pairs of sentences can begin one
const HELD_OUT = 200;

/** Each letter gathers from the letters before it what it needs, then thinks about it by itself. */
class Block extends nn.Layer {
  readonly attentionNorm = new nn.LayerNorm(WIDTH);
  readonly queryKeyValue = new nn.Linear(WIDTH, 3 * WIDTH);
  readonly gathered = new nn.Linear(WIDTH, WIDTH);
  readonly feedForward = new nn.Sequential(
    new nn.LayerNorm(WIDTH),
    new nn.Linear(WIDTH, 4 * WIDTH),
    new nn.GELU(),
    new nn.Linear(4 * WIDTH, WIDTH),
  );

  override forward(x_BTxW: Tensor): Tensor {
    const [batch, time] = x_BTxW.shape as [number, number];
    const [query, key, value] = this.queryKeyValue
      .forward(this.attentionNorm.forward(x_BTxW))
      .view([batch, time, 3, HEADS, WIDTH / HEADS])
      .permute([2, 0, 3, 1, 4])
      .unbind() as [Tensor, Tensor, Tensor];
    const heads = nn.functional.scaledDotProductAttention(query, key, value, { isCausal: true });
    const x = x_BTxW.add(this.gathered.forward(heads.transpose(1, 2).reshape([batch, time, WIDTH])));
    return x.add(this.feedForward.forward(x));
  }
}

/** Letters [B, T] to the scores of the letter after each, [B, T, letters]. */
export class CharacterGpt extends nn.Layer {
  readonly letters = new nn.Embedding(ALPHABET.length, WIDTH);
  readonly places = new nn.Embedding(CONTEXT, WIDTH);
  readonly blocks = new nn.Sequential(...Array.from({ length: LAYERS }, () => new Block()));
  readonly norm = new nn.LayerNorm(WIDTH);
  readonly head = new nn.Linear(WIDTH, ALPHABET.length, { bias: false });

  override forward(letters: Tensor): Tensor {
    const places = this.places.forward(arange(letters.shape[1]!, { device: letters.device }));
    const x = this.letters.forward(letters).add(places);
    return this.head.forward(this.norm.forward(this.blocks.forward(x)));
  }
}

/** Letters from the beginning of a story, the letter after each, and which of those must agree: [N, CONTEXT]. */
export function texts(count: number, draw: () => number, device: string) {
  const made = Array.from({ length: count }, () => stories(CONTEXT + 1, draw));
  const letters = tensor(
    made.map((text) => text.letters),
    { dtype: 'int64', device },
  );
  const agreement = tensor(
    made.map((text) => text.agreement),
    { device },
  );
  const after = (whole: Tensor) => whole.narrow(1, 1, CONTEXT);
  return { letters: letters.narrow(1, 0, CONTEXT), next: after(letters), agreement: after(agreement) };
}

function train(run: Run) {
  const learn = texts(TEXTS, uniform(run.seed), run.device);
  const heldOut = texts(HELD_OUT, uniform(run.seed + 1000), run.device);
  const model = new CharacterGpt().to(run.device);
  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, betas: [0.9, 0.99], weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const crossEntropy = new nn.CrossEntropyLoss();

  const test = () =>
    scope(() => {
      const scores = noGrad(() => run.amp(() => model.forward(heldOut.letters)));
      const right = scores.argmax(2).eq(heldOut.next).at(heldOut.agreement);
      return Number(right.float().mean().item());
    });

  const untrained = test();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const batch = randint(0, TEXTS, [BATCH], { device: run.device });
      const scores = run.amp(() => model.forward(learn.letters.at(batch)));
      const loss = crossEntropy.forward(scores.float().transpose(1, 2), learn.next.at(batch));
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
  about: 'A causal transformer writes stories letter by letter, and makes verbs agree with distant nouns.',
  source: 'Radford et al., GPT-2 (2019); measure: Linzen, Dupoux and Goldberg, arXiv 1611.01368',
  measure: 'agreement',
  goal: 0.95,
  train,
};
