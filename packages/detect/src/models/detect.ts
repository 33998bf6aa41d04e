import { nn, noGrad, scope, type Tensor } from '@mezzo/torch';
import { anchorGrid, levelsOf } from './anchors.ts';
import { Conv } from './blocks.ts';
import { decodeMaps, distanceBins, expectedDistance, type HeadMaps, sidesOf } from './decode.ts';
import { DetectionHead } from './head.ts';

/** Bins of each side's distance distribution. */
export const REG_MAX = 16;

/** The frozen 1 x 1 convolution with weights 0 … R-1 that published weights carry; decoding reads it as the bins. */
export class DFL extends nn.Layer {
  readonly conv: nn.Conv2d;

  constructor(bins: number) {
    super();
    this.conv = new nn.Conv2d(bins, 1, 1, { bias: false });
    this.conv.weight.requiresGrad_(false);
    scope(() => noGrad(() => this.conv.weight.copy_(distanceBins(bins, 'cpu').view([1, bins, 1, 1]))));
  }

  /** Logits [..., 4R] to the expected distance of each side [..., 4], in cells. */
  override forward(logits: Tensor): Tensor {
    return scope(() => {
      const bins = this.conv.weight.flatten();
      return expectedDistance(sidesOf(logits, bins.numel()), bins);
    });
  }
}

/**
 * Anchor-free head of YOLOv5u, YOLOv8 and YOLO11: per level a box branch (4 sides x 16 bins) and a class branch.
 * `strides` are pixels per cell of each level; `light` is YOLO11's class branch, with depthwise convolutions.
 */
export class Detect extends DetectionHead {
  readonly cv2: nn.ModuleList<nn.Sequential>;
  readonly cv3: nn.ModuleList<nn.Sequential>;
  readonly dfl: DFL;
  readonly nc: number;
  readonly strides: readonly number[];

  constructor(nc: number, inChannels: readonly number[], strides: readonly number[], light = false) {
    super();
    const first = inChannels[0]!;
    const boxWidth = Math.max(16, Math.floor(first / 4), 4 * REG_MAX);
    const clsWidth = Math.max(first, Math.min(nc, 100));
    const branch = (block: typeof dense, width: number, outputs: number) => (c: number) =>
      new nn.Sequential(block(c, width), block(width, width), new nn.Conv2d(width, outputs, 1));
    this.cv2 = new nn.ModuleList(inChannels.map(branch(dense, boxWidth, 4 * REG_MAX)));
    this.cv3 = new nn.ModuleList(inChannels.map(branch(light ? separable : dense, clsWidth, nc)));
    this.dfl = new DFL(REG_MAX);
    this.nc = nc;
    this.strides = strides;
  }

  /** Features [B, c, h, w] of each level to raw maps: box logits [B, 64, h, w] and class logits [B, C, h, w]. */
  override forward(features: readonly Tensor[]): HeadMaps {
    return scope(() => ({
      box: features.map((feature, level) => this.cv2.at(level).forward(feature)),
      cls: features.map((feature, level) => this.cv3.at(level).forward(feature)),
    }));
  }

  /** Predictions [B, 4 + C, A] of raw maps: centre and size in pixels, probabilities; always fp32. */
  override decode(maps: HeadMaps): Tensor {
    return scope(() => {
      const grid = anchorGrid(levelsOf(maps.box, this.strides), maps.box[0]!.device);
      return decodeMaps(maps, grid, (logits) => this.dfl.forward(logits));
    });
  }

  override branches(level: number): nn.Module[] {
    return [this.cv2.at(level), this.cv3.at(level)];
  }

  /**
   * Starting biases: `boxBias` for every bin, and class logits that expect 5 objects spread over the classes
   * of a 640 px image.
   */
  override initialiseBias(boxBias: number): void {
    noGrad(() => {
      this.strides.forEach((stride, level) => {
        lastConv(this.cv2.at(level)).bias!.fill_(boxBias);
        lastConv(this.cv3.at(level)).bias!.fill_(Math.log(5 / this.nc / (640 / stride) ** 2));
      });
    });
  }
}

const dense = (c1: number, c2: number): nn.Layer => new Conv(c1, c2, 3);

const separable = (c1: number, c2: number): nn.Layer =>
  new nn.Sequential(new Conv(c1, c1, 3, { groups: c1 }), new Conv(c1, c2));

function lastConv(branch: nn.Sequential): nn.Conv2d {
  return branch.at(-1) as nn.Conv2d;
}
