/** Pictures of coloured figures on cluttered grounds, held in memory, and the mAP of a detector on them. */
import {
  DetectionMetrics,
  drawPicture,
  type FigureName,
  nonMaxSuppression,
  type Targets,
  VALIDATION_NMS,
} from '@mezzo/detect';
import { inferenceMode, type nn, scope, type Tensor, tensor } from '@mezzo/torch';

export const NAMES: readonly FigureName[] = ['circle', 'square', 'triangle'];

/** Figures in a picture, at most; their sides are a fifth to a half of the picture's. */
const MOST = 4;

/** Pictures that are measured at a time. */
const AT_A_TIME = 32;

export interface ShapesOptions {
  count: number;
  /** Pixels. */
  side: number;
  seed: number;
  /** Pictures to train with, or others. */
  split: 'train' | 'held out';
  device: string;
}

export interface Batch {
  /** [B, 3, side, side] in 0 … 1. */
  images: Tensor;
  /** [B, 4, 4] corners in pixels, zeros where a picture has fewer figures. */
  boxes: Tensor;
  /** [B, 4] int64 places in `NAMES`. */
  classes: Tensor;
}

export class Shapes {
  readonly count: number;
  private readonly images: Tensor;
  private readonly boxes: Tensor;
  private readonly classes: Tensor;
  private readonly targets: Targets[] = [];

  constructor({ count, side, seed, split, device }: ShapesOptions) {
    const pixels = new Uint8Array(count * side * side * 3);
    const boxes = new Float32Array(count * MOST * 4);
    const classes = new Int32Array(count * MOST);
    for (let i = 0; i < count; i++) {
      const picture = drawPicture(NAMES, side, seed, split === 'train' ? 0 : 1, i);
      const corners = picture.labels.flatMap(([, x, y, w, h]) =>
        [x - w / 2, y - h / 2, x + w / 2, y + h / 2].map((value) => value * side),
      );
      const ids = picture.labels.map(([id]) => id);
      pixels.set(picture.pixels, i * side * side * 3);
      boxes.set(corners, i * MOST * 4);
      classes.set(ids, i * MOST);
      this.targets.push({ count: ids.length, boxes: Float32Array.from(corners), cls: Int32Array.from(ids) });
    }
    this.count = count;
    this.images = tensor(pixels, { shape: [count, side, side, 3], device })
      .permute(0, 3, 1, 2)
      .contiguous();
    this.boxes = tensor(boxes, { shape: [count, MOST, 4], device });
    this.classes = tensor(classes, { shape: [count, MOST], device, dtype: 'int64' });
  }

  /** @param index [B] int64 which pictures */
  batch(index: Tensor): Batch {
    return {
      images: this.images.indexSelect(0, index).float().div(255),
      boxes: this.boxes.indexSelect(0, index),
      classes: this.classes.indexSelect(0, index),
    };
  }

  /**
   * Mean average precision of a network at IoU 0.5 over all pictures, 0 to 1.
   * @param predict runs it on images: [B, 4 + classes, anchors] fp32, centre and size in pixels, then the classes' scores
   */
  map50(net: nn.Module, predict: (images: Tensor) => Tensor): number {
    const metrics = new DetectionMetrics(NAMES);
    net.eval();
    for (let from = 0; from < this.count; from += AT_A_TIME) {
      const count = Math.min(AT_A_TIME, this.count - from);
      const predictions = scope(() =>
        inferenceMode(() => predict(this.images.narrow(0, from, count).float().div(255)).toTypedArray()),
      ) as Float32Array;
      const size = predictions.length / count;
      for (let i = 0; i < count; i++) {
        const prediction = predictions.subarray(i * size, (i + 1) * size);
        metrics.add(nonMaxSuppression(prediction, NAMES.length, VALIDATION_NMS), this.targets[from + i]!);
      }
    }
    net.train();
    return metrics.result().box.map50;
  }
}

/** Different pictures to train with and to measure with. */
export function drawShapes(options: Omit<ShapesOptions, 'count' | 'split'>): {
  pictures: Shapes;
  heldOut: Shapes;
} {
  return {
    pictures: new Shapes({ ...options, count: 1024, split: 'train' }),
    heldOut: new Shapes({ ...options, count: 256, split: 'held out' }),
  };
}
