/**
 * EfficientNet-B0 learns to name the pattern in a generated picture.
 *
 *     ./mezzo example efficientnet-b0
 *
 * The network is the one of Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
 * (arXiv 1905.11946), table 1, unchanged. Its dropout and stochastic depth are left out: they help over hundreds of
 * epochs, and here no picture is seen twice.
 */
import { nn, optim, scope, type Tensor } from '@mezzo/torch';
import { accuracyOn, CLASSES, pictureSource } from './data/pictures.ts';
import type { Lesson, Run } from './lesson.ts';

const { crossEntropy } = nn.functional;

const SIZE = 48; // pixels
const BATCH = 32;
const STEPS = 180;
const LR = 0.002;

/** Table 1, stages 2 to 8. */
const STAGES = [
  { widen: 1, channels: 16, blocks: 1, stride: 1, kernel: 3 },
  { widen: 6, channels: 24, blocks: 2, stride: 2, kernel: 3 },
  { widen: 6, channels: 40, blocks: 2, stride: 2, kernel: 5 },
  { widen: 6, channels: 80, blocks: 3, stride: 2, kernel: 3 },
  { widen: 6, channels: 112, blocks: 3, stride: 1, kernel: 5 },
  { widen: 6, channels: 192, blocks: 4, stride: 2, kernel: 5 },
  { widen: 6, channels: 320, blocks: 1, stride: 1, kernel: 3 },
];

function convolution(from: number, to: number, kernel = 1, stride = 1, groups = 1): nn.Layer[] {
  const conv = new nn.Conv2d(from, to, kernel, { stride, padding: kernel >> 1, groups, bias: false });
  nn.init.kaimingNormal_(conv.weight);
  return [conv, new nn.BatchNorm2d(to)];
}

/** The inverted bottleneck: widen, filter each channel, weigh channels by what the whole picture shows, narrow. */
class MBConv extends nn.Layer {
  readonly filter: nn.Sequential;
  readonly weigh: nn.Sequential;
  readonly narrow: nn.Sequential;
  readonly residual: boolean;

  constructor(from: number, stage: (typeof STAGES)[number], stride: number) {
    super();
    const [wide, to] = [from * stage.widen, stage.channels];
    this.filter = new nn.Sequential(
      ...(stage.widen === 1 ? [] : [...convolution(from, wide), new nn.SiLU()]),
      ...convolution(wide, wide, stage.kernel, stride, wide),
      new nn.SiLU(),
    );
    const [squeeze, excite] = [new nn.Conv2d(wide, from / 4, 1), new nn.Conv2d(from / 4, wide, 1)];
    const gate = new nn.Sigmoid();
    this.weigh = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), squeeze, new nn.SiLU(), excite, gate);
    this.narrow = new nn.Sequential(...convolution(wide, to));
    this.residual = stride === 1 && from === to;
  }

  override forward(x: Tensor): Tensor {
    const filtered = this.filter.forward(x);
    const y = this.narrow.forward(filtered.mul(this.weigh.forward(filtered)));
    return this.residual ? x.add(y) : y;
  }
}

export class EfficientNetB0 extends nn.Sequential {
  constructor(classes: number) {
    super(...convolution(3, 32, 3, 2), new nn.SiLU());
    let from = 32;
    for (const stage of STAGES) {
      for (let i = 0; i < stage.blocks; i++) {
        this.append(new MBConv(from, stage, i === 0 ? stage.stride : 1));
        from = stage.channels;
      }
    }
    const pool = [new nn.SiLU(), new nn.AdaptiveAvgPool2d(1), new nn.Flatten()];
    for (const layer of [...convolution(from, 1280), ...pool, new nn.Linear(1280, classes)])
      this.append(layer);
  }
}

function train({ seed, device, amp, scaler, progress }: Run) {
  const model = new EfficientNetB0(CLASSES).to({ device, memoryFormat: 'channels_last' });
  const draw = pictureSource(seed);
  const heldOut = draw({ count: 512, size: SIZE, device });
  const accuracy = () => accuracyOn(heldOut, (images) => amp(() => model.eval().forward(images)));

  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const untrained = accuracy();
  model.train();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const { images, labels } = draw({ count: BATCH, size: SIZE, device });
      optimizer.zeroGrad();
      const loss = amp(() => crossEntropy(model.forward(images), labels));
      scaler.scale(loss).backward();
      scaler.step(optimizer);
      scaler.update();
      schedule.step();
    });
    progress(step, STEPS);
  }
  return { untrained, trained: accuracy() };
}

export const lesson: Lesson = {
  about: 'EfficientNet-B0 names the pattern in a generated picture.',
  source:
    'Tan and Le 2019, EfficientNet: Rethinking Model Scaling for CNNs, https://arxiv.org/abs/1905.11946',
  measure: 'accuracy',
  goal: 0.95,
  train,
};
