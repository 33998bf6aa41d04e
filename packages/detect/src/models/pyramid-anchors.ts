import type { Tensor } from '@mezzo/torch';
import { anchorCount, type Level } from './anchors.ts';
import { upload } from './upload.ts';

export interface PyramidAnchorOptions {
  /** Side of the smallest square anchor, in strides of its level; default 4. */
  side?: number;
  /** Sizes at every cell, as factors on `side`; default three to the octave: 1, 2^(1/3), 2^(2/3). */
  scales?: readonly number[];
  /** Height over width of the boxes of every size, whose area stays the same; default 0.5, 1 and 2. */
  ratios?: readonly number[];
  /** Default `cpu`. */
  device?: string;
}

/** The sides of RetinaNet and EfficientDet (Lin et al. 2017, section 4): 32² to 512² pixels on strides 8 to 128. */
const COCO = { side: 4, scales: [1, 2 ** (1 / 3), 2 ** (2 / 3)], ratios: [0.5, 1, 2] };

/**
 * The anchor boxes of a feature pyramid, centred on its cells: [A, 4] corners x1, y1, x2, y2 in pixels, fp32. A counts
 * the levels, in a level the cells row by row, in a cell the scales, for a scale its ratios: the order in which
 * `joinLevels` puts the maps [B, n·K, h, w] of n anchors a cell, seen as [B, A, K].
 * @param levels as `levelsOf` gives them
 */
export function pyramidAnchors(levels: readonly Level[], options: PyramidAnchorOptions = {}): Tensor {
  const { side = COCO.side, scales = COCO.scales, ratios = COCO.ratios, device = 'cpu' } = options;
  const shapes = scales.flatMap((scale) =>
    ratios.map((ratio) => ({
      width: (side * scale) / Math.sqrt(ratio),
      height: side * scale * Math.sqrt(ratio),
    })),
  );
  const count = anchorCount(levels) * shapes.length;
  const corners = new Float32Array(4 * count);
  let at = 0;
  for (const level of levels) {
    for (let row = 0; row < level.height; row++) {
      for (let column = 0; column < level.width; column++) {
        for (const { width, height } of shapes) {
          corners[at++] = (column + 0.5 - width / 2) * level.stride;
          corners[at++] = (row + 0.5 - height / 2) * level.stride;
          corners[at++] = (column + 0.5 + width / 2) * level.stride;
          corners[at++] = (row + 0.5 + height / 2) * level.stride;
        }
      }
    }
  }
  return upload(corners, [count, 4], { device });
}
