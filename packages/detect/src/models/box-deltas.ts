import { cat, scope, type Tensor } from '@mezzo/torch';

// Boxes as offsets from anchor boxes (Girshick et al. 2014, appendix C): the centre moves by (dx, dy) anchor sides, the
// sides grow by the factors exp(dw), exp(dh). Shapes: [..., 4], broadcast against each other; computed in fp32.

/** No anchor grows further, so that an untrained network cannot overflow: 1000 px from a side of 16. */
const LARGEST_GROWTH = Math.log(1000 / 16);

/** Corner boxes as deltas dx, dy, dw, dh from their anchors (corners, of the same unit). A box without area has none. */
export function encodeBoxes(boxes: Tensor, anchors: Tensor): Tensor {
  return scope(() => {
    const box = centreAndSides(boxes);
    const anchor = centreAndSides(anchors);
    return cat([box.centre.sub(anchor.centre).div(anchor.sides), box.sides.div(anchor.sides).log()], -1);
  });
}

/** The boxes that deltas make of their anchors, as corners or as centre and size, in the anchors' unit. */
export function decodeBoxes(deltas: Tensor, anchors: Tensor, format: 'xyxy' | 'xywh' = 'xyxy'): Tensor {
  return scope(() => {
    const [shift, growth] = deltas.float().chunk(2, -1) as [Tensor, Tensor];
    const anchor = centreAndSides(anchors);
    const centre = shift.mul(anchor.sides).add(anchor.centre);
    const sides = growth.clampMax(LARGEST_GROWTH).exp().mul(anchor.sides);
    if (format === 'xywh') return cat([centre, sides], -1);
    const half = sides.div(2);
    return cat([centre.sub(half), centre.add(half)], -1);
  });
}

function centreAndSides(corners: Tensor): { centre: Tensor; sides: Tensor } {
  const [from, to] = corners.float().chunk(2, -1) as [Tensor, Tensor];
  return { centre: from.add(to).div(2), sides: to.sub(from) };
}
