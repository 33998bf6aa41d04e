import { cat, noGrad, ones, ops, scope, stack, type Tensor, zeros } from '@mezzo/torch';
import { type AnchorMatches, matchAnchors } from '../assign/anchor-cells.ts';
import { anchorBoxes } from '../models/anchor-boxes.ts';
import type { AnchorDetect } from '../models/anchor-detect.ts';
import { type Level, levelsOf } from '../models/anchors.ts';
import type { HeadMaps } from '../models/decode.ts';
import { withoutAutocast } from '../models/precision.ts';
import { upload } from '../models/upload.ts';
import type { Criterion, LearnedAnchors, LossResult, SharedBatch } from './criterion.ts';
import { pairwiseIou } from './iou.ts';
import { pixelTargets } from './targets.ts';

// Shapes: B batch, n anchor boxes a cell, h x w cells of a level, C classes, M matches of a level.

export interface AnchorGains {
  box: number;
  obj: number;
  cls: number;
}

export interface AnchorLossOptions {
  head: AnchorDetect;
  /** Side of the training images in pixels: the gain of objectness is for 640 and grows with the area. */
  imgsz: number;
  /** For 3 levels, 80 classes and 640 px; defaults 0.05, 1 and 0.5. */
  gains?: AnchorGains;
  /** Largest factor between the sides of a target and of an anchor box that learns it; default 4. */
  limit?: number;
}

export const ANCHOR_GAINS: AnchorGains = { box: 0.05, obj: 1, cls: 0.5 };

/** Weight of each level's objectness, finest first: there are more cells, and so more background, in fine ones. */
const BALANCE: Readonly<Record<number, readonly number[]>> = { 3: [4, 1, 0.4] };
const OTHER_BALANCE = [4, 1, 0.25, 0.06, 0.02];

/** Of a level of a batch that is shared: its matches in all, and how much of the pictures is here, 0 to 1. */
interface Part {
  readonly matches: number;
  readonly pictures: number;
}

/**
 * Loss of YOLOv5's head: CIoU of the matched anchor boxes, binary cross-entropy of every objectness against that
 * overlap, and of the matched boxes' classes, each a mean. Where several targets meet at one anchor box, its
 * objectness learns the best overlap of them.
 *
 * It is an fp32 island on every device, and reads nothing back to the host: matches follow from labels and anchors.
 */
export class AnchorLoss implements Criterion {
  readonly items = ['box', 'obj', 'cls'] as const;
  readonly settings: Readonly<Record<string, unknown>>;
  private readonly head: AnchorDetect;
  readonly gains: AnchorGains;
  private readonly limit: number;
  /** The anchors in cells, on the host: [levels][width, height, width, …]. */
  private readonly anchors: readonly (readonly number[])[];

  /** HOST SYNC: reads the head's anchors, which must be final. */
  constructor({ head, imgsz, gains = ANCHOR_GAINS, limit = 4 }: AnchorLossOptions) {
    const levels = 3 / head.strides.length;
    const pixels = head.pixels;
    this.head = head;
    this.limit = limit;
    this.gains = {
      box: gains.box * levels,
      obj: gains.obj * levels * (imgsz / 640) ** 2,
      cls: gains.cls * levels * (head.nc / 80),
    };
    this.anchors = pixels.map((level, i) => level.map((side) => side / head.strides[i]!));
    this.settings = { gains: this.gains, limit, anchors: pixels };
  }

  forward(maps: HeadMaps, rows: Float32Array, shared?: SharedBatch): LossResult {
    const { device } = maps.box[0]!;
    return withoutAutocast(device, () =>
      scope(() => {
        const { strides, nc } = this.head;
        const levels = levelsOf(maps.obj!, strides);
        const batch = maps.box[0]!.size(0);
        const { height, width } = levels[0]!;
        // Throws for a row of an image or class that does not exist.
        pixelTargets(rows, { batch, classes: nc, height, width });
        const matches = levels.map((level, i) => matchAnchors(rows, level, this.anchors[i]!, this.limit));
        const counts = shared?.total(matches.map(({ count }) => count));
        const part = (i: number): Part | undefined =>
          shared && { matches: counts![i]!, pictures: batch / shared.pictures };
        const terms = matches.map((match, i) => this.levelTerms(maps, i, match, part(i)));
        const balance = BALANCE[levels.length] ?? OTHER_BALANCE;
        const items = stack([
          sum(terms.map(({ box }) => box)).mul(this.gains.box),
          sum(terms.map(({ obj }, i) => obj.mul(balance[i] ?? balance.at(-1)!))).mul(this.gains.obj),
          sum(terms.map(({ cls }) => cls)).mul(this.gains.cls),
        ]);
        const assignment = learnedAnchors(matches, levels, this.head.perCell, device);
        return { total: items.sum().mul(shared?.pictures ?? batch), items: items.detach(), assignment };
      }),
    );
  }

  /** Mean losses of one level, before gains; with a part, what it adds to those of the whole. */
  private levelTerms(
    maps: HeadMaps,
    level: number,
    matches: AnchorMatches,
    part?: Part,
  ): Record<'box' | 'obj' | 'cls', Tensor> {
    const objectness = maps.obj![level]!.float().flatten();
    const { device } = objectness;
    if (matches.count === 0) {
      const none = zeros([], { device });
      return { box: none, obj: ofPictures(objectness.softplus().mean(), part), cls: none };
    }
    const { count } = matches;
    const place = upload(matches.place, [count], { dtype: 'int64', device });
    const anchor = upload(matches.anchor, [count], { dtype: 'int64', device });
    const wanted = upload(matches.boxes, [count, 4], { device });
    const logits = maps.box[level]!.float().flatten(0, 3).indexSelect(0, place);
    const sides = this.head.anchors.select(0, level).float().indexSelect(0, anchor);
    const overlap = pairwiseIou(corners(anchorBoxes(logits, sides)), corners(wanted), 'ciou');
    return {
      box: part ? overlap.rsub(1).sum().div(part.matches) : overlap.rsub(1).mean(),
      obj: ofPictures(crossEntropy(objectness, bestOverlap(overlap, place, objectness.numel())), part),
      cls: this.classTerm(maps.cls[level]!, place, matches, part?.matches),
    };
  }

  /** A single class is told by the objectness alone. */
  private classTerm(
    map: Tensor,
    place: Tensor,
    { cls, count }: AnchorMatches,
    counted: number = count,
  ): Tensor {
    const { nc } = this.head;
    if (nc === 1) return zeros([], { device: map.device });
    const logits = map.float().flatten(0, 3).indexSelect(0, place); // [M, C]
    const at = upload(
      cls.map((id, i) => i * nc + id),
      [count],
      { dtype: 'int64', device: map.device },
    );
    return logits
      .softplus()
      .sum()
      .sub(logits.flatten().indexSelect(0, at).sum())
      .div(counted * nc);
  }
}

/** Of a mean over pictures, what these are of all. */
const ofPictures = (mean: Tensor, part: Part | undefined): Tensor => (part ? mean.mul(part.pictures) : mean);

/** Targets of the objectness: the overlap at matched anchor boxes, at least 0; without gradient. */
function bestOverlap(overlap: Tensor, place: Tensor, size: number): Tensor {
  return noGrad(() =>
    ops.scatter_reduce(zeros([size], { device: overlap.device }), 0, place, overlap.clampMin(0), 'amax'),
  );
}

/** Mean binary cross-entropy of logits against targets in 0 … 1. */
const crossEntropy = (logits: Tensor, targets: Tensor): Tensor =>
  logits.softplus().sub(logits.mul(targets)).mean();

/** Corners of boxes [..., 4] given by centre and size. */
function corners(boxes: Tensor): Tensor {
  const [centre, size] = boxes.chunk(2, -1) as [Tensor, Tensor];
  const half = size.div(2);
  return cat([centre.sub(half), centre.add(half)], -1);
}

const sum = (terms: readonly Tensor[]): Tensor => terms.reduce((total, term) => total.add(term));

/** The matches as anchors of the decoded predictions. */
function learnedAnchors(
  matches: readonly AnchorMatches[],
  levels: readonly Level[],
  perCell: number,
  device: string,
): LearnedAnchors | null {
  const sizes = levels.map(({ height, width }) => perCell * height * width);
  const all = sizes.reduce((total, size) => total + size, 0);
  let first = 0;
  const anchors = matches.flatMap(({ place, image }, level) => {
    const [size, offset] = [sizes[level]!, first];
    first += size;
    return Array.from(place, (at, i) => image[i]! * all + offset + (at % size));
  });
  if (anchors.length === 0) return null;
  return {
    anchor: upload(Int32Array.from(anchors), [anchors.length], { dtype: 'int64', device }),
    used: ones([anchors.length], { device }),
  };
}
