/**
 * ResNet-18 learns to name the pattern in a generated picture: seven patterns, in shapes of any place, size and colour.
 *
 *     ./mezzo example resnet18
 *
 * The network is the one of He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition (arXiv 1512.03385),
 * table 1, unchanged; only the pictures are smaller than ImageNet's 224 x 224.
 */
import { nn, optim, scope, type Tensor } from '@mezzo/torch';
import { accuracyOn, CLASSES, pictureSource } from './data/pictures.ts';
import type { Lesson, Run } from './lesson.ts';

const { crossEntropy } = nn.functional;

const SIZE = 32; // pixels
const BATCH = 32;
const STEPS = 130;
const LR = 0.002;

const conv3x3 = (from: number, to: number, stride = 1) =>
  new nn.Conv2d(from, to, 3, { stride, padding: 1, bias: false });

/** Two convolutions that learn what to add to their input. */
class BasicBlock extends nn.Layer {
  readonly residual: nn.Sequential;
  readonly shortcut: nn.Sequential;

  constructor(from: number, to: number, stride: number) {
    super();
    this.residual = new nn.Sequential(
      conv3x3(from, to, stride),
      new nn.BatchNorm2d(to),
      new nn.ReLU(),
      conv3x3(to, to),
      new nn.BatchNorm2d(to),
    );
    // The identity where shapes agree, else a projection (option B of the paper).
    const same = stride === 1 && from === to;
    const projection = [new nn.Conv2d(from, to, 1, { stride, bias: false }), new nn.BatchNorm2d(to)];
    this.shortcut = new nn.Sequential(...(same ? [] : projection));
  }

  override forward(x: Tensor): Tensor {
    return this.residual.forward(x).add(this.shortcut.forward(x)).relu();
  }
}

export class ResNet18 extends nn.Layer {
  readonly layers: nn.Sequential;

  constructor(classes: number) {
    super();
    const stage = (from: number, to: number, stride: number) => [
      new BasicBlock(from, to, stride),
      new BasicBlock(to, to, 1),
    ];
    this.layers = new nn.Sequential(
      new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false }),
      new nn.BatchNorm2d(64),
      new nn.ReLU(),
      new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
      ...stage(64, 64, 1),
      ...stage(64, 128, 2),
      ...stage(128, 256, 2),
      ...stage(256, 512, 2),
      new nn.AdaptiveAvgPool2d(1),
      new nn.Flatten(),
      new nn.Linear(512, classes),
    );
    this.apply((module) => {
      if (module instanceof nn.Conv2d) nn.init.kaimingNormal_(module.weight, { mode: 'fanOut' });
    });
  }

  override forward(images: Tensor): Tensor {
    return this.layers.forward(images);
  }
}

function train({ seed, device, amp, scaler, progress }: Run) {
  const model = new ResNet18(CLASSES).to({ device, memoryFormat: 'channels_last' });
  const draw = pictureSource(seed);
  const heldOut = draw({ count: 512, size: SIZE, device });
  const accuracy = () => accuracyOn(heldOut, (images) => amp(() => model.eval().forward(images)));

  const optimizer = new optim.AdamW(model.parameters(), { lr: LR, weightDecay: 0.01 });
  const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
  const untrained = accuracy();
  model.train();
  for (let step = 1; step <= STEPS; step++) {
    scope(() => {
      const { images, labels } = draw({ count: BATCH, size: SIZE, device }); // always new ones
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
  about: 'ResNet-18 names the pattern in a generated picture.',
  source: 'He et al. 2015, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385',
  measure: 'accuracy',
  goal: 0.95,
  train,
};
