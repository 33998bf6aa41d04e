/** Batches of images of like proportions, whose pictures are only as large as they need to be. */
import type { Size } from '../augment/geometry.ts';

export interface RectOptions {
  imgsz: number;
  batch: number;
  /** Multiple that the sides of a picture are rounded up to. */
  stride: number;
  /** Added before that rounding, in strides. */
  pad: number;
  /** How many there are; the last holds what remains. */
  batches?: number;
}

export interface RectBatches {
  /** Indices of the images in the order of the batches: from the widest to the tallest. */
  order: Uint32Array;
  /** Size of the pictures of each batch. */
  shapes: Size[];
}

export function rectBatches(images: readonly Size[], options: RectOptions): RectBatches {
  const { imgsz, batch, stride, pad, batches = Math.ceil(images.length / batch) } = options;
  const order = Uint32Array.from(images.keys()).sort(
    (a, b) => aspect(images[a]!) - aspect(images[b]!) || a - b,
  );
  const shapes = Array.from({ length: batches }, (_, index) => {
    const end = index + 1 === batches ? images.length : (index + 1) * batch;
    const members = Array.from(order.subarray(index * batch, end), (i) => images[i]!);
    return rectShape(members, imgsz, stride, pad);
  });
  return { order, shapes };
}

/** The smallest picture, in strides, that holds all images of a batch at their scale of `imgsz`. */
export function rectShape(images: readonly Size[], imgsz: number, stride: number, pad: number): Size {
  const aspects = images.map(aspect);
  const widest = Math.min(...aspects);
  const tallest = Math.max(...aspects);
  const up = (side: number) => Math.ceil((side * imgsz) / stride + pad) * stride;
  return { width: up(Math.min(1 / widest, 1)), height: up(Math.min(tallest, 1)) };
}

function aspect({ width, height }: Size): number {
  return height / width;
}
