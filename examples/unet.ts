/**
 * U-Net learns which pixels of a generated picture belong to a shape.
 *
 *     ./mezzo example unet
 *
 * The network is the one of Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image
 * Segmentation (arXiv 1505.04597), figure 1: four levels down and up, with dropout at the bottom. What differs: a quarter
 * of the channels, padded convolutions, so that the mask is as large as the picture, and batch norm to learn faster.
 */
import { cat, nn, optim, scope, type Tensor } from '@mezzo/torch';
import { iouOn, pictureSource } from './data/pictures.ts';
import type { Lesson, Run } from './lesson.ts';

const { crossEntropy } = nn.functional;

const CHANNELS = [16, 32, 64, 128, 256]; // a level each; the paper has 64 to 1024
const PICTURES = { size: 64, shapes: 2, radius: [0.2, 0.35] } as const;
const BATCH = 8;
const STEPS = 240;
const LR = 0.003;

/** Two convolutions of 3 x 3, each with batch norm and a ReLU. */
const double = (from: number, to: number) =>
  new nn.Sequential(
    new nn.Conv2d(from, to, 3, { padding: 1 }),
    new nn.BatchNorm2d(to),
    new nn.ReLU(),
    new nn.Conv2d(to, to, 3, { padding: 1 }),
    new nn.BatchNorm2d(to),
    new nn.ReLU(),
  );

export class UNet extends nn.Layer {
  readonly down: nn.ModuleList;
  readonly widen: nn.ModuleList;
  readonly up: nn.ModuleList;
  readonly pool = new nn.MaxPool2d(2);
  readonly dropout = new nn.Dropout(0.5);
  readonly scores: nn.Conv2d;

  constructor(channels: readonly number[], classes: number) {
    super();
    const pairs = channels.slice(1).map((deep, i) => [channels[i]!, deep] as const);
    this.down = new nn.ModuleList([
      double(3, channels[0]!),
      ...pairs.map(([high, deep]) => double(high, deep)),
    ]);
    this.widen = new nn.ModuleList(
      pairs.map(([high, deep]) => new nn.ConvTranspose2d(deep, high, 2, { stride: 2 })),
    );
    this.up = new nn.ModuleList(pairs.map(([high]) => double(2 * high, high)));
    this.scores = new nn.Conv2d(channels[0]!, classes, 1);
    // Section 3: with these deviations every layer starts with outputs of about unit variance.
    this.apply((module) => {
      if (module instanceof nn.Conv2d) nn.init.kaimingNormal_(module.weight);
    });
  }

  override forward(images: Tensor): Tensor {
    const levels: Tensor[] = [];
    let x = images;
    for (const [i, level] of [...this.down].entries()) {
      x = level.forward(i === 0 ? x : this.pool.forward(x));
      levels.push(x);
    }
    x = this.dropout.forward(x);
    for (let i = this.up.length - 1; i >= 0; i--) {
      // What was seen before pooling says where, what comes from below says what.
      x = this.up.at(i).forward(cat([levels[i]!, this.widen.at(i).forward(x)], 1));
    }
    return this.scores.forward(x);
  }
}

function train({ seed, device, amp, scaler, progress }: Run) {
  const model = new UNet(CHANNELS, 2).to({ device, memoryFormat: 'channels_last' });
  const draw = pictureSource(seed);
  const heldOut = draw({ count: 64, ...PICTURES, device });
  const iou = () => iouOn(heldOut, (images) => amp(() => model.eval().forward(images)));

  const optimizer = new optim.AdamW(model.parameters(), { lr: LR });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const untrained = iou();
  model.train();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const { images, masks } = draw({ count: BATCH, ...PICTURES, device });
      optimizer.zeroGrad();
      const loss = amp(() => crossEntropy(model.forward(images), masks));
      scaler.scale(loss).backward();
      scaler.step(optimizer);
      scaler.update();
      schedule.step();
    });
    progress(step, STEPS);
  }
  return { untrained, trained: iou() };
}

export const lesson: Lesson = {
  about: 'U-Net finds the pixels of shapes in generated pictures.',
  source: 'Ronneberger et al. 2015, U-Net: Convolutional Networks, https://arxiv.org/abs/1505.04597',
  measure: 'IoU',
  goal: 0.9,
  train,
};
