/**
 * EfficientNet-B0 learns to name the pattern in a generated picture.
 *
 *     ./mezzo example efficientnet-b0
 *
 * The network is that of Tan and Le (arXiv 1905.11946), table 1, unchanged. Its dropout and stochastic depth are left out:
 * they help over hundreds of epochs, and here no picture is seen twice.
 */
import { applyPlan, planFromPatterns } from '@mezzo/precision';
import { nn, optim, scope, type Tensor } from '@mezzo/torch';
import { accuracyOn, CLASSES, pictureSource } from './data/pictures.ts';
import type { Lesson, Run } from './lesson.ts';

const SIZE = 48; // pixels
const BATCH = 32;
const STEPS = 160;
const LR = 0.003;

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

/** Convolution, BatchNorm and, unless `activate` is false, SiLU: the last two are one kernel where there is one. */
class ConvNorm extends nn.Layer {
  readonly conv: nn.Conv2d;
  readonly norm: nn.BatchNorm2d;
  readonly activate: boolean;

  constructor(from: number, to: number, { kernel = 1, stride = 1, groups = 1, activate = true } = {}) {
    super();
    this.conv = new nn.Conv2d(from, to, kernel, { stride, padding: kernel >> 1, groups, bias: false });
    nn.init.kaimingNormal_(this.conv.weight);
    this.norm = new nn.BatchNorm2d(to);
    this.activate = activate;
  }

  override forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return this.activate ? this.norm.forwardSilu(y) : this.norm.forward(y);
  }
}

/** The inverted bottleneck: widen, filter each channel, weigh channels by what the whole picture shows, narrow. */
class MBConv extends nn.Layer {
  readonly widen: nn.Layer;
  readonly filter: ConvNorm;
  readonly weigh: nn.Sequential;
  readonly narrow: ConvNorm;
  readonly residual: boolean;

  constructor(from: number, { widen, channels, kernel }: (typeof STAGES)[number], stride: number) {
    super();
    const wide = from * widen;
    this.widen = widen === 1 ? new nn.Identity() : new ConvNorm(from, wide);
    this.filter = new ConvNorm(wide, wide, { kernel, stride, groups: wide });
    const [squeeze, excite] = [new nn.Conv2d(wide, from / 4, 1), new nn.Conv2d(from / 4, wide, 1)];
    this.weigh = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), squeeze, new nn.SiLU(), excite);
    this.narrow = new ConvNorm(wide, channels, { activate: false });
    this.residual = stride === 1 && from === channels;
  }

  override forward(x: Tensor): Tensor {
    const filtered = this.filter.forward(this.widen.forward(x));
    const y = this.narrow.forward(filtered.mul(this.weigh.forward(filtered).sigmoid()));
    return this.residual ? x.add(y) : y;
  }
}

export class EfficientNetB0 extends nn.Sequential {
  constructor(classes: number) {
    super(new ConvNorm(3, 32, { kernel: 3, stride: 2 }));
    let from = 32;
    for (const stage of STAGES)
      for (let i = 0; i < stage.blocks; i++, from = stage.channels)
        this.append(new MBConv(from, stage, i === 0 ? stage.stride : 1));
    const classify = [new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(1280, classes)];
    this.append(new nn.Sequential(new ConvNorm(from, 1280), ...classify));
  }
}

function train({ seed, dtype, device, amp, scaler, progress }: Run) {
  const model = new EfficientNetB0(CLASSES).to({ device, memoryFormat: 'channels_last' });
  // On a CPU the backward pass of these depthwise convolutions is up to 15 times slower in bf16 than in fp32.
  if (device === 'cpu') applyPlan(model, planFromPatterns(dtype, '*.filter.conv'));
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
      const loss = amp(() => nn.functional.crossEntropy(model.forward(images), labels));
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
  source: 'Tan and Le 2019, EfficientNet: Rethinking Model Scaling, https://arxiv.org/abs/1905.11946',
  measure: 'accuracy',
  goal: 0.95,
  train,
};
