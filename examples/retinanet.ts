/**
 * RetinaNet in small: anchor boxes on every level of a feature pyramid, two subnets that all levels share, and the
 * focal loss, which keeps the many anchors on background from drowning the few on objects.
 *
 *     ./mezzo example retinanet
 *
 * Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002.
 */
import {
  C2f,
  Conv,
  decodeBoxes,
  encodeBoxes,
  joinLevels,
  MaxIouAssigner,
  pyramidAnchors,
  sigmoidFocalLoss,
  Upsample,
} from '@mezzo/detect';
import { cat, nn, optim, randint, scope, type Tensor } from '@mezzo/torch';
import { type Batch, drawShapes, NAMES } from './data/shapes.ts';
import type { Lesson } from './lesson.ts';

export const SIDE = 64; // pixels
const STEPS = 500;
const BATCH = 16;
const LR = 4e-3;
const WIDTH = 48; // channels of the pyramid and of the subnets
export const LEVELS = [8, 16, 32].map((stride) => ({ stride, height: SIDE / stride, width: SIDE / stride }));
export const ANCHORS = { side: 2, scales: [1, 2 ** (1 / 3), 2 ** (2 / 3)], ratios: [1] }; // figures are nearly square
export const PRIOR_BIAS = Math.log(0.01 / 0.99); // untrained, an object has probability 0.01: most anchors see none

const conv = (outputs: number) => new nn.Conv2d(WIDTH, outputs, 3, { padding: 1 });
const stage = (c1: number, c2: number) =>
  new nn.Sequential(new Conv(c1, c2, 3, { stride: 2 }), new C2f(c2, c2, 1, true));

/** Maps of 48, 96 and 128 channels, one from the other, on strides 8, 16 and 32. */
export const backbone = () =>
  new nn.ModuleList([
    new nn.Sequential(new Conv(3, 16, 3, { stride: 2 }), stage(16, 32), stage(32, 48)),
    stage(48, 96),
    stage(96, 128),
  ]);

/** All levels share it, so it normalises each map by itself (the paper does not normalise, and needs more steps). */
function subnet(outputs: number, bias: number): nn.Sequential {
  const block = () => [conv(WIDTH), new nn.GroupNorm(8, WIDTH), new nn.ReLU()];
  const last = conv(ANCHORS.scales.length * outputs);
  nn.init.constant_(last.bias!, bias);
  return new nn.Sequential(...block(), ...block(), last);
}

export type Outputs = { logits: Tensor; deltas: Tensor }; // of every anchor: [B, A, classes] and [B, A, 4]

export class RetinaNet extends nn.Module {
  readonly backbone = backbone();
  readonly lateral = new nn.ModuleList([48, 96, 128].map((c) => new nn.Conv2d(c, WIDTH, 1)));
  readonly smooth = new nn.ModuleList([conv(WIDTH), conv(WIDTH), conv(WIDTH)]);
  readonly upsample = new Upsample(2);
  readonly classes = subnet(NAMES.length, PRIOR_BIAS);
  readonly boxes = subnet(4, 0);

  override forward(images: Tensor): Outputs {
    const c3 = this.backbone.at(0).forward(images);
    const c4 = this.backbone.at(1).forward(c3);
    const c5 = this.backbone.at(2).forward(c4);
    const p5 = this.lateral.at(2).forward(c5);
    const p4 = this.lateral.at(1).forward(c4).add(this.upsample.forward(p5));
    const p3 = this.lateral.at(0).forward(c3).add(this.upsample.forward(p4));
    const pyramid = [p3, p4, p5].map((map, level) => this.smooth.at(level).forward(map));
    const outputs = (net: nn.Sequential, values: number) =>
      joinLevels(pyramid.map((map) => net.forward(map))).reshape(images.size(0), -1, values);
    return { logits: outputs(this.classes, NAMES.length), deltas: outputs(this.boxes, 4) };
  }
}

/** Focal loss of all classes and smooth L1 of the learned boxes, over the number of anchors that learn one. */
export function retinaLoss(anchors: Tensor, { logits, deltas }: Outputs, truth: Batch): Tensor {
  const targets = new MaxIouAssigner().assign(anchors, truth.boxes, truth.classes);
  const learns = targets.positive.unsqueeze(-1); // [B, A, 1]
  const wanted = nn.functional.oneHot(targets.classes, NAMES.length).mul(learns);
  const shift = encodeBoxes(targets.boxes, anchors);
  const focal = sigmoidFocalLoss(logits, wanted).maskedFill(targets.ignored.unsqueeze(-1), 0);
  const distance = nn.functional.smoothL1Loss(deltas, shift, { reduction: 'none', beta: 0.1 }).mul(learns);
  return focal.sum().add(distance.sum()).div(learns.sum().clampMin(1));
}

/** [B, 4 + C, A] centre and size in pixels, then the probability of each class: what suppression takes. */
export const predictions = (anchors: Tensor, { logits, deltas }: Outputs): Tensor =>
  cat([decodeBoxes(deltas, anchors, 'xywh'), logits.sigmoid()], -1).transpose(1, 2);

export const lesson: Lesson = {
  about: 'RetinaNet finds figures in pictures: anchors on a feature pyramid, and the focal loss.',
  source: 'Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002',
  measure: 'mAP50',
  goal: 0.5,
  train({ seed, device, amp, scaler, progress }) {
    const { pictures, heldOut } = drawShapes({ side: SIDE, seed, device });
    const anchors = pyramidAnchors(LEVELS, { ...ANCHORS, device });
    const net = new RetinaNet().to(device);
    const optimizer = new optim.AdamW(net.parameters(), { lr: LR });
    const schedule = new optim.lrScheduler.OneCycleLR(optimizer, { maxLr: LR, totalSteps: STEPS });
    const forward = (images: Tensor) => amp(() => net.forward(images));
    const detect = (images: Tensor) => predictions(anchors, forward(images));
    const untrained = heldOut.map50(net, detect);
    for (let step = 1; step <= STEPS; step++) {
      scope(() => {
        const batch = pictures.batch(randint(0, pictures.count, [BATCH], { device }));
        const loss = retinaLoss(anchors, forward(batch.images), batch); // outside autocast, in fp32
        optimizer.zeroGrad();
        scaler.scale(loss).backward();
        scaler.step(optimizer); // leaves the step out when a gradient overflowed
        scaler.update();
        schedule.step();
      });
      progress(step, STEPS);
    }
    return { untrained, trained: heldOut.map50(net, detect) };
  },
};
