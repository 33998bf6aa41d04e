import { arange, cat, isGradEnabled, scope, type Tensor } from '@mezzo/torch';
import type { AnchorGrid } from './anchors.ts';
import { withoutAutocast } from './precision.ts';

// Shapes: B batch, A anchors (cells of all levels, row by row), C classes, R bins of one side's distribution,
// 4 = left, top, right, bottom distances, or the corners x1, y1, x2, y2. Everything here is fp32.

/**
 * Raw maps of a head, one per level. Anchor-free heads: box logits [B, 4R, h, w] and class logits [B, C, h, w]. Heads
 * with n anchor boxes a cell: box [B, n, h, w, 4], objectness [B, n, h, w], classes [B, n, h, w, C].
 */
export interface HeadMaps {
  readonly box: readonly Tensor[];
  readonly cls: readonly Tensor[];
  readonly obj?: readonly Tensor[];
}

/** The same maps without their history. */
export function detachMaps({ box, cls, obj }: HeadMaps): HeadMaps {
  const detached = (maps: readonly Tensor[]) => maps.map((map) => map.detach());
  return { box: detached(box), cls: detached(cls), ...(obj ? { obj: detached(obj) } : {}) };
}

/** Every map under its name and level: `box0`, `cls0`, … */
export function namedMaps({ box, cls, obj = [] }: HeadMaps): Record<string, Tensor> {
  const named = (name: string, maps: readonly Tensor[]) =>
    maps.map((map, level) => [`${name}${level}`, map] as const);
  return Object.fromEntries([...named('box', box), ...named('cls', cls), ...named('obj', obj)]);
}

/**
 * Joins the levels' maps [B, K, h, w] to one fp32 [B, A, K]. Both memory formats are only viewed, so the join
 * is the one copy (and the cast a second one, where the maps are in low precision).
 */
export function joinLevels(maps: readonly Tensor[]): Tensor {
  return scope(() => {
    const rows = maps.map((map) => map.permute([0, 2, 3, 1]).flatten(1, 2));
    return cat(rows, 1).to('float32');
  });
}

/** Bin positions 0 … count-1 of the distance distributions. */
export function distanceBins(count: number, device: string): Tensor {
  return arange(count, { dtype: 'float32', device });
}

/** Splits logits [..., 4R] by side: [..., 4, R]. */
export function sidesOf(logits: Tensor, bins: number): Tensor {
  return logits.unflatten(-1, [4, bins]);
}

/** Expected distance of each side, Σ k·softmax(logits)_k: [..., 4, R] -> [..., 4] in cells. `bins` is 0 … R-1. */
export function expectedDistance(logits: Tensor, bins: Tensor): Tensor {
  return scope(() => {
    const probabilities = logits.softmax(-1);
    // Not a matrix product: TF32 would round it, and a rounded distance is pixels at stride 32.
    const weighted = isGradEnabled() ? probabilities.mul(bins) : probabilities.mul_(bins);
    return weighted.sum(-1);
  });
}

/** Distances [..., 4] from points [..., 2] to boxes, in the points' unit; as corners or as centre and size. */
export function dist2bbox(distances: Tensor, points: Tensor, format: 'xyxy' | 'xywh' = 'xyxy'): Tensor {
  return scope(() => {
    const [leftTop, rightBottom] = distances.chunk(2, -1) as [Tensor, Tensor];
    const from = points.sub(leftTop);
    const to = points.add(rightBottom);
    return format === 'xyxy' ? cat([from, to], -1) : cat([from.add(to).div(2), to.sub(from)], -1);
  });
}

/** Distances [..., 4] from points to the sides of corner boxes; with `max`, clamped to 0 … max - 0.01. */
export function bbox2dist(points: Tensor, boxes: Tensor, max?: number): Tensor {
  return scope(() => {
    const [from, to] = boxes.chunk(2, -1) as [Tensor, Tensor];
    const distances = cat([points.sub(from), to.sub(points)], -1);
    return max === undefined ? distances : distances.clamp(0, max - 0.01);
  });
}

/**
 * Predictions [B, 4 + C, A] fp32: centre x, y, width, height in pixels, then class probabilities.
 * @param distances turns box logits [B, A, 4R] into distances [B, A, 4] in cells
 */
export function decodeMaps(maps: HeadMaps, grid: AnchorGrid, distances: (logits: Tensor) => Tensor): Tensor {
  return withoutAutocast(grid.points.device, () =>
    scope(() => {
      const boxes = dist2bbox(distances(joinLevels(maps.box)), grid.points, 'xywh').mul(grid.strides);
      return cat([boxes, joinLevels(maps.cls).sigmoid()], -1).transpose(1, 2);
    }),
  );
}
