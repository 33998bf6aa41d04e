import { cat, stack, type Tensor, tensor } from '@mezzo/torch';
import { withoutAutocast } from './precision.ts';

// Shapes: B batch, A anchors (cells of all levels, row by row), C classes, R bins of one side's distribution,
// 4 = left, top, right, bottom distances, or the corners x1, y1, x2, y2. Everything here is fp32.

/** One head level: `height` x `width` cells of `stride` pixels. */
export interface Level {
  readonly height: number;
  readonly width: number;
  readonly stride: number;
}

/** Raw maps of an anchor-free head, one per level: box logits [B, 4R, h, w] and class logits [B, C, h, w]. */
export interface HeadMaps {
  readonly box: readonly Tensor[];
  readonly cls: readonly Tensor[];
}

/** Cell centres of all levels: [A, 2] x, y in cells, and [A, 1] pixels per cell. */
export interface AnchorGrid {
  readonly points: Tensor;
  readonly strides: Tensor;
}

/** Levels of the maps, from their sizes. */
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
    points: tensor(points, { shape: [count, 2], device }),
    strides: tensor(strides, { shape: [count, 1], device }),
  };
}

/**
 * Joins the levels' maps [B, K, h, w] to one fp32 [B, A, K]. Both memory formats are only viewed, so the join
 * is the one copy (and the cast the second, where the maps are low precision).
 */
export function joinLevels(maps: readonly Tensor[]): Tensor {
  return cat(
    maps.map((map) => map.permute([0, 2, 3, 1]).flatten(1, 2)),
    1,
  ).to('float32');
}

/** Expected distance of each side, Σ k·softmax(logits)_k: [..., 4R] logits -> [..., 4] in cells. `bins` is 0 … R-1. */
export function expectedDistance(logits: Tensor, bins: Tensor): Tensor {
  const shape = logits.shape;
  const sides = logits.reshape([...shape.slice(0, -1), 4, bins.numel()]);
  // Not a matrix product: TF32 would round it, and a rounded distance is pixels at stride 32.
  return sides.softmax(-1).mul(bins).sum(-1);
}

/** Distances [..., 4] from points [..., 2] to boxes, in the points' unit; as corners or as centre and size. */
export function dist2bbox(distances: Tensor, points: Tensor, format: 'xyxy' | 'xywh' = 'xyxy'): Tensor {
  const [leftTop, rightBottom] = distances.chunk(2, -1);
  const from = points.sub(leftTop!);
  const to = points.add(rightBottom!);
  return format === 'xyxy' ? cat([from, to], -1) : cat([from.add(to).div(2), to.sub(from)], -1);
}

/** Distances [..., 4] from points to the sides of corner boxes; with `max`, clamped to 0 … max - 0.01. */
export function bbox2dist(points: Tensor, boxes: Tensor, max?: number): Tensor {
  const [from, to] = boxes.chunk(2, -1);
  const distances = cat([points.sub(from!), to!.sub(points)], -1);
  return max === undefined ? distances : distances.clamp(0, max - 0.01);
}

/** Bin positions 0 … count-1 of the distance distributions. */
export function distanceBins(count: number, device: string): Tensor {
  return tensor(
    Float32Array.from({ length: count }, (_, i) => i),
    { device },
  );
}

/** Predictions [B, 4 + C, A] fp32: centre x, y, width, height in pixels, then class probabilities. */
export function decodeMaps(maps: HeadMaps, grid: AnchorGrid, bins: Tensor): Tensor {
  return withoutAutocast(bins.device, () => {
    const distances = expectedDistance(joinLevels(maps.box), bins);
    const boxes = dist2bbox(distances, grid.points, 'xywh').mul(grid.strides);
    return cat([boxes, joinLevels(maps.cls).sigmoid()], -1).transpose(1, 2);
  });
}
