import { nn, noGrad, scope, type Tensor } from '@mezzo/torch';
import { decodeAnchors } from './anchor-boxes.ts';
import type { HeadMaps } from './decode.ts';
import { DetectionHead } from './head.ts';
import { upload } from './upload.ts';

/** Anchor boxes of each level: width, height, width, … in pixels. */
export type Anchors = readonly (readonly number[])[];

/** Box, then objectness, then classes, among the outputs of an anchor. */
const BOX = 4;
const OBJECTNESS = 1;

/** Objects expected in an image of 640 pixels, and the share of each class, that the biases start from. */
const OBJECTS = 8;
const CLASS_SHARE = 0.6;

/**
 * Head of YOLOv5: one convolution per level gives for each of n anchor boxes in a cell 4 box logits, an objectness
 * logit and the class logits. `anchors` [levels, n, 2] are in cells, and are saved with the weights.
 */
export class AnchorDetect extends DetectionHead {
  declare anchors: Tensor;
  readonly m: nn.ModuleList<nn.Conv2d>;
  readonly nc: number;
  readonly strides: readonly number[];
  /** Anchor boxes in a cell. */
  readonly perCell: number;

  constructor(nc: number, inChannels: readonly number[], strides: readonly number[], anchors: Anchors) {
    super();
    this.nc = nc;
    this.strides = strides;
    this.perCell = anchors[0]!.length / 2;
    this.registerBuffer('anchors', this.inCells(anchors));
    const outputs = this.perCell * (BOX + OBJECTNESS + nc);
    this.m = new nn.ModuleList(inChannels.map((c) => new nn.Conv2d(c, outputs, 1)));
  }

  /** The anchors in pixels. HOST SYNC. */
  get pixels(): number[][] {
    const cells = this.anchors.toTypedArray() as Float32Array;
    const size = 2 * this.perCell;
    return this.strides.map((stride, level) =>
      Array.from(cells.subarray(level * size, (level + 1) * size), (side) => side * stride),
    );
  }

  /** Takes other anchors, as many for each level, in pixels. */
  set pixels(anchors: Anchors) {
    scope(() => noGrad(() => this.anchors.copy_(this.inCells(anchors))));
  }

  /** @returns box [B, n, h, w, 4], obj [B, n, h, w] and cls [B, n, h, w, C] of each level */
  override forward(features: readonly Tensor[]): HeadMaps {
    return scope(() => {
      const parts = features.map((feature, level) =>
        this.m
          .at(level)
          .forward(feature)
          .unflatten(1, [this.perCell, -1])
          .permute([0, 1, 3, 4, 2])
          .split([BOX, OBJECTNESS, this.nc], -1),
      );
      return {
        box: parts.map(([box]) => box!),
        obj: parts.map(([, objectness]) => objectness!.squeeze(-1)),
        cls: parts.map(([, , classes]) => classes!),
      };
    });
  }

  override decode(maps: HeadMaps): Tensor {
    return decodeAnchors(maps, this.anchors, this.strides);
  }

  /** Objectness for 8 objects in an image of 640 px, class logits for classes that are equally frequent. */
  override initialiseBias(): void {
    noGrad(() =>
      scope(() => {
        this.strides.forEach((stride, level) => {
          const outputs = this.m.at(level).bias!.view([this.perCell, -1]);
          outputs.narrow(1, BOX, OBJECTNESS).add_(Math.log(OBJECTS / (640 / stride) ** 2));
          outputs.narrow(1, BOX + OBJECTNESS, this.nc).add_(Math.log(CLASS_SHARE / (this.nc - 0.99999)));
        });
      }),
    );
  }

  override branches(level: number): nn.Module[] {
    return [this.m.at(level)];
  }

  private inCells(anchors: Anchors): Tensor {
    const cells = anchors.flatMap((level, i) => level.map((side) => side / this.strides[i]!));
    const shape = [anchors.length, this.perCell, 2];
    return upload(Float32Array.from(cells), shape, { device: 'cpu' });
  }
}
