import { MezzoError } from '@mezzo/torch';
import type { Targets } from '../assign/candidates.ts';

const COLUMNS = 6;

/**
 * Label rows (image, class, centre x, centre y, width, height; relative to the image) as corner boxes in pixels.
 * Rounded to fp32 after every operation, as a device would.
 * @throws {MezzoError} `BAD_TARGETS` for a row whose image or class does not exist
 */
export function pixelTargets(
  rows: Float32Array,
  net: { batch: number; classes: number; height: number; width: number },
): Targets {
  const count = rows.length / COLUMNS;
  const image = new Int32Array(count);
  const cls = new Int32Array(count);
  const boxes = new Float32Array(4 * count);
  for (let i = 0; i < count; i++) {
    const row = COLUMNS * i;
    const [imageIndex, classIndex] = [rows[row]!, rows[row + 1]!];
    if (!isIndex(imageIndex, net.batch) || !isIndex(classIndex, net.classes)) {
      throw new MezzoError(
        'BAD_TARGETS',
        `target row ${i}: image ${imageIndex} of ${net.batch}, class ${classIndex} of ${net.classes}`,
        { hint: 'class ids run from 0 to nc - 1' },
      );
    }
    image[i] = imageIndex;
    cls[i] = classIndex;
    [boxes[4 * i], boxes[4 * i + 2]] = corners(rows[row + 2]!, rows[row + 4]!, net.width);
    [boxes[4 * i + 1], boxes[4 * i + 3]] = corners(rows[row + 3]!, rows[row + 5]!, net.height);
  }
  return { count, image, cls, boxes };
}

function isIndex(value: number, size: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < size;
}

function corners(centre: number, side: number, pixels: number): [number, number] {
  const middle = Math.fround(centre * pixels);
  const half = Math.fround(side * pixels) / 2;
  return [Math.fround(middle - half), Math.fround(middle + half)];
}
