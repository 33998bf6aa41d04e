/**
 * EfficientDet in small: a pyramid whose levels are joined from the top down and from the bottom up, twice, each time with
 * weights that the network learns (BiFPN), made of depthwise separable convolutions, as the heads are. Backbone, anchors
 * and losses are those of `retinanet.ts`.
 *
 *     ./mezzo example bifpn
 *
 * Tan, Pang, Le: EfficientDet: Scalable and Efficient Object Detection, 2020, arXiv:1911.09070.
 */
import { joinLevels, pyramidAnchors, Upsample } from '@mezzo/detect';
import { nn, ones, optim, randint, type Tensor, TrainingStep } from '@mezzo/torch';
import { drawShapes, NAMES } from './data/shapes.ts';
import type { Lesson } from './lesson.ts';
import {
  ANCHORS,
  backbone,
  LEVELS,
  type Outputs,
  PRIOR_BIAS,
  predictions,
  retinaLoss,
  SIDE,
} from './retinanet.ts';

const STEPS = 500;
const BATCH = 16;
const LR = 4e-3;
const CLIP = 10; // largest norm of all gradients together
const WIDTH = 48; // channels of the pyramid and of the heads

type Levels = [p3: Tensor, p4: Tensor, p5: Tensor];

const depthwise = (c: number) => new nn.Conv2d(c, c, 3, { padding: 1, groups: c, bias: false });
const separable = (c1: number, c2: number) => new nn.Sequential(depthwise(c1), new nn.Conv2d(c1, c2, 1));
const block = (c: number) => new nn.Sequential(separable(c, c), new nn.BatchNorm2d(c), new nn.SiLU());

/** Σ wᵢ·xᵢ / Σ wⱼ of maps of one size with learned w ≥ 0 ("fast normalised fusion"), and a convolution. */
class Fusion extends nn.Module {
  readonly weights: nn.Parameter;
  readonly convolution = block(WIDTH);

  constructor(inputs: number) {
    super();
    this.weights = new nn.Parameter(ones([inputs]));
  }

  override forward(maps: readonly Tensor[]): Tensor {
    const weights = this.weights.relu();
    const shares = weights.div(weights.sum().add(1e-4)).unbind(); // fp32 numbers, which leave the maps' dtype as it is
    return this.convolution.forward(maps.map((map, i) => map.mul(shares[i]!)).reduce((a, b) => a.add(b)));
  }
}

class BiFPN extends nn.Module {
  readonly topDown = new nn.ModuleList([new Fusion(2), new Fusion(2)]);
  readonly bottomUp = new nn.ModuleList([new Fusion(3), new Fusion(2)]);
  readonly upsample = new Upsample(2);
  readonly halve = new nn.MaxPool2d(3, { stride: 2, padding: 1 });

  override forward([p3, p4, p5]: Levels): Levels {
    const middle = this.topDown.at(0).forward([p4, this.upsample.forward(p5)]);
    const low = this.topDown.at(1).forward([p3, this.upsample.forward(middle)]);
    const between = this.bottomUp.at(0).forward([p4, middle, this.halve.forward(low)]);
    return [low, between, this.bottomUp.at(1).forward([p5, this.halve.forward(between)])];
  }
}

/** The levels share it, so it normalises each map by itself (in the paper each level has a BatchNorm of its own). */
function head(outputs: number, bias: number): nn.Sequential {
  const last = separable(WIDTH, ANCHORS.scales.length * outputs);
  nn.init.constant_((last.at(-1) as nn.Conv2d).bias!, bias);
  return new nn.Sequential(separable(WIDTH, WIDTH), new nn.GroupNorm(8, WIDTH), new nn.SiLU(), last);
}

export class EfficientDet extends nn.Module {
  readonly backbone = backbone();
  readonly lateral = new nn.ModuleList([48, 96, 128].map((c) => new nn.Conv2d(c, WIDTH, 1)));
  readonly pyramid = new nn.ModuleList([new BiFPN(), new BiFPN()]);
  readonly classes = head(NAMES.length, PRIOR_BIAS);
  readonly boxes = head(4, 0);

  override forward(images: Tensor): Outputs {
    const c3 = this.backbone.at(0).forward(images);
    const c4 = this.backbone.at(1).forward(c3);
    const c5 = this.backbone.at(2).forward(c4);
    let levels = [c3, c4, c5].map((map, level) => this.lateral.at(level).forward(map)) as Levels;
    for (const bifpn of this.pyramid) levels = bifpn.forward(levels);
    const outputs = (net: nn.Sequential, values: number) =>
      joinLevels(levels.map((map) => net.forward(map))).reshape(images.size(0), -1, values);
    return { logits: outputs(this.classes, NAMES.length), deltas: outputs(this.boxes, 4) };
  }
}

export const lesson: Lesson = {
  about: 'EfficientDet finds figures in pictures: a pyramid joined both ways by learned weights.',
  source: 'Tan, Pang, Le 2020, EfficientDet, arXiv:1911.09070',
  measure: 'mAP50',
  goal: 0.5,
  train({ seed, device, amp, scaler, progress }) {
    const { pictures, heldOut } = drawShapes({ side: SIDE, seed, device });
    const anchors = pyramidAnchors(LEVELS, { ...ANCHORS, device });
    const model = new EfficientDet().to(device);
    const optimizer = new optim.AdamW(model.parameters(), { lr: LR });
    const schedulers = [new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS })];
    // Scales, unscales, clips and steps; takes everything back when a gradient overflowed.
    const training = new TrainingStep({ model, optimizers: optimizer, schedulers, scaler, clip: CLIP });
    const forward = (images: Tensor) => amp(() => model.forward(images));
    const detect = (images: Tensor) => predictions(anchors, forward(images));

    const untrained = heldOut.map50(model, detect);
    for (let step = 1; step <= STEPS; step++) {
      training.run(() => {
        const batch = pictures.batch(randint(0, pictures.count, [BATCH], { device }));
        return retinaLoss(anchors, forward(batch.images), batch); // outside autocast, in fp32
      });
      progress(step, STEPS);
    }
    return { untrained, trained: heldOut.map50(model, detect) };
  },
};
