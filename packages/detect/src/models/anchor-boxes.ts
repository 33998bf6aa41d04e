import { cat, scope, type Tensor } from '@mezzo/torch';
import { anchorGrid } from './anchors.ts';
import type { HeadMaps } from './decode.ts';
import { withoutAutocast } from './precision.ts';

// Shapes: B batch, n anchor boxes a cell, h x w cells of a level, C classes.

/**
 * Boxes of logits [..., 4] of YOLOv5: the centre lies up to half a cell outside its own cell, the sides are up to
 * four times those of the anchor box. fp32.
 * @param cells [..., 2] column and row of the cell; omitted: centres are relative to the cell
 * @param anchors [..., 2] sides of the anchor boxes, in cells
 * @returns [..., 4] centre x, y, width, height in cells
 */
export function anchorBoxes(logits: Tensor, anchors: Tensor, cells?: Tensor): Tensor {
  return scope(() => {
    const [centre, size] = logits.sigmoid().mul(2).chunk(2, -1) as [Tensor, Tensor];
    const within = centre.sub(0.5);
    return cat([cells === undefined ? within : within.add(cells), size.square().mul(anchors)], -1);
  });
}

/**
 * Predictions [B, 4 + C, A] fp32: centre and size in pixels, then for every class objectness · class probability.
 * A counts the levels, in a level the anchors of a cell, for an anchor its cells row by row.
 */
export function decodeAnchors(maps: HeadMaps, anchors: Tensor, strides: readonly number[]): Tensor {
  return withoutAutocast(anchors.device, () =>
    scope(() => {
      const levels = maps.box.map((box, level) => {
        const [, perCell, height, width] = box.shape as [number, number, number, number];
        const stride = strides[level]!;
        const { points } = anchorGrid([{ height, width, stride }], anchors.device);
        const cells = points.sub(0.5).view([1, 1, height, width, 2]);
        const sides = anchors.select(0, level).float().view([1, perCell, 1, 1, 2]);
        const boxes = anchorBoxes(box.float(), sides, cells).mul(stride);
        const objectness = maps.obj![level]!.float().sigmoid().unsqueeze(-1);
        const scores = maps.cls[level]!.float().sigmoid().mul(objectness);
        return cat([boxes, scores], -1).flatten(1, 3);
      });
      return cat(levels, 1).transpose(1, 2);
    }),
  );
}
