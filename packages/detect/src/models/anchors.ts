import type { Tensor } from '@mezzo/torch';
import { upload } from './upload.ts';

/** One head level: `height` x `width` cells of `stride` pixels. */
export interface Level {
  readonly height: number;
  readonly width: number;
  readonly stride: number;
}

/** Cell centres of all levels, level by level and row by row: [A, 2] x, y in cells, and [A, 1] pixels per cell. */
export interface AnchorGrid {
  readonly points: Tensor;
  readonly strides: Tensor;
}

/** Levels of the maps [B, K, h, w] or [B, n, h, w], from their sizes. */
export function levelsOf(maps: readonly Tensor[], strides: readonly number[]): Level[] {
  return maps.map((map, i) => {
    const [, , height, width] = map.shape;
    return { height: height!, width: width!, stride: strides[i]! };
  });
}

export function anchorCount(levels: readonly Level[]): number {
  return levels.reduce((sum, { height, width }) => sum + height * width, 0);
}

export function anchorGrid(levels: readonly Level[], device: string): AnchorGrid {
  const count = anchorCount(levels);
  const points = new Float32Array(2 * count);
  const strides = new Float32Array(count);
  let anchor = 0;
  for (const { height, width, stride } of levels) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, anchor++) {
        points[2 * anchor] = column + 0.5;
        points[2 * anchor + 1] = row + 0.5;
        strides[anchor] = stride;
      }
    }
  }
  return {
    points: upload(points, [count, 2], { device }),
    strides: upload(strides, [count, 1], { device }),
  };
}
