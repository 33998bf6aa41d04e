import { noGrad, scope, type Tensor } from '@mezzo/torch';

/** Plain overlap, and the variants with penalties for the hull, the centre distance, and the shape. */
export type IouKind = 'iou' | 'giou' | 'diou' | 'ciou';

export interface IouOptions {
  /** Corners x1, y1, x2, y2 (default), or centre x, y, width, height. */
  format?: 'xyxy' | 'xywh';
  /** Default 1e-7. Added to the union, and to the heights of corner boxes (not to the widths). */
  eps?: number;
}

const EPS = 1e-7;

/**
 * Overlap of box i of `a` with box i of `b`: [..., 4] -> [...]. GIoU: Rezatofighi et al. 2019; DIoU and CIoU:
 * Zheng et al. 2020, with CIoU's trade-off weight taken as a constant in backward.
 */
export function pairwiseIou(a: Tensor, b: Tensor, kind: IouKind = 'iou', options: IouOptions = {}): Tensor {
  const { format = 'xyxy', eps = EPS } = options;
  return scope(() => {
    const p = edgesOf(a, format, eps);
    const q = edgesOf(b, format, eps);
    const width = p.x2.minimum(q.x2).sub(p.x1.maximum(q.x1)).clampMin(0);
    const height = p.y2.minimum(q.y2).sub(p.y1.maximum(q.y1)).clampMin(0);
    const inter = width.mul(height);
    const union = p.w.mul(p.h).add(q.w.mul(q.h)).sub(inter).add(eps);
    const iou = inter.div(union);
    if (kind === 'iou') return iou;

    const hullWidth = p.x2.maximum(q.x2).sub(p.x1.minimum(q.x1));
    const hullHeight = p.y2.maximum(q.y2).sub(p.y1.minimum(q.y1));
    if (kind === 'giou') {
      const hull = hullWidth.mul(hullHeight).add(eps);
      return iou.sub(hull.sub(union).div(hull));
    }
    const diagonal = hullWidth.square().add(hullHeight.square()).add(eps);
    const dx = q.x1.add(q.x2).sub(p.x1).sub(p.x2);
    const dy = q.y1.add(q.y2).sub(p.y1).sub(p.y2);
    const distance = dx.square().add(dy.square()).div(4).div(diagonal);
    if (kind === 'diou') return iou.sub(distance);

    const slant = q.w.div(q.h).atan().sub(p.w.div(p.h).atan());
    const v = slant.square().mul(4 / Math.PI ** 2);
    const alpha = noGrad(() => v.div(v.sub(iou).add(1 + eps)));
    return iou.sub(distance.add(v.mul(alpha)));
  });
}

interface Edges {
  x1: Tensor;
  y1: Tensor;
  x2: Tensor;
  y2: Tensor;
  w: Tensor;
  h: Tensor;
}

function edgesOf(boxes: Tensor, format: 'xyxy' | 'xywh', eps: number): Edges {
  const [first, second, third, fourth] = boxes.unbind(-1) as [Tensor, Tensor, Tensor, Tensor];
  if (format === 'xyxy') {
    return {
      x1: first,
      y1: second,
      x2: third,
      y2: fourth,
      w: third.sub(first),
      h: fourth.sub(second).add(eps),
    };
  }
  const [halfWidth, halfHeight] = [third.div(2), fourth.div(2)];
  return {
    x1: first.sub(halfWidth),
    y1: second.sub(halfHeight),
    x2: first.add(halfWidth),
    y2: second.add(halfHeight),
    w: third,
    h: fourth,
  };
}

/** Overlap of every box of `a` [N, 4] with every box of `b` [M, 4], corners: [N, M]. */
export function boxIouMatrix(a: Tensor, b: Tensor, eps = EPS): Tensor {
  return scope(() => {
    const [aFrom, aTo] = a.unsqueeze(1).chunk(2, 2) as [Tensor, Tensor];
    const [bFrom, bTo] = b.unsqueeze(0).chunk(2, 2) as [Tensor, Tensor];
    const inter = aTo.minimum(bTo).sub(aFrom.maximum(bFrom)).clampMin(0).prod(2);
    const union = aTo.sub(aFrom).prod(2).add(bTo.sub(bFrom).prod(2)).sub(inter).add(eps);
    return inter.div(union);
  });
}
