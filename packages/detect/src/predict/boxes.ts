import { letterbox, type Size } from '../augment/geometry.ts';

/**
 * How boxes return from the letterboxed network input to the original image. The letterboxed size is rounded to whole
 * pixels, so the true scale differs a little along the two axes: `axis` uses both, `single` the nominal one for both.
 */
export type BoxGain = 'axis' | 'single';

/**
 * Boxes in pixels of the original image, cut off at its edges.
 *
 * @param boxes corner boxes in pixels of the network input, 4 values each
 * @param network size of the network input, padding included
 */
export function scaleBoxes(
  boxes: Float32Array,
  network: Size,
  image: Size,
  gain: BoxGain = 'axis',
): Float32Array {
  const fit = letterbox(image, network);
  const [gainX, gainY] = gain === 'axis' ? [fit.width / image.width, fit.height / image.height] : fit.ratio;
  const scaled = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length; i += 4) {
    scaled[i] = (boxes[i]! - fit.left) / gainX;
    scaled[i + 1] = (boxes[i + 1]! - fit.top) / gainY;
    scaled[i + 2] = (boxes[i + 2]! - fit.left) / gainX;
    scaled[i + 3] = (boxes[i + 3]! - fit.top) / gainY;
  }
  return clipBoxes(scaled, image);
}

/** Cuts corner boxes off at the edges of the image, in place. */
export function clipBoxes(boxes: Float32Array, { width, height }: Size): Float32Array {
  for (let i = 0; i < boxes.length; i += 2) {
    boxes[i] = Math.min(Math.max(boxes[i]!, 0), width);
    boxes[i + 1] = Math.min(Math.max(boxes[i + 1]!, 0), height);
  }
  return boxes;
}

/** Corner boxes in pixels from rows of centre x, centre y, width, height as fractions of the image. */
export function fromNormalized(rows: Float32Array, { width, height }: Size): Float32Array {
  const boxes = new Float32Array(rows.length);
  for (let i = 0; i < rows.length; i += 4) {
    boxes[i] = (rows[i]! - rows[i + 2]! / 2) * width;
    boxes[i + 1] = (rows[i + 1]! - rows[i + 3]! / 2) * height;
    boxes[i + 2] = (rows[i]! + rows[i + 2]! / 2) * width;
    boxes[i + 3] = (rows[i + 1]! + rows[i + 3]! / 2) * height;
  }
  return boxes;
}
