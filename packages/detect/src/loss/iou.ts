import { noGrad, scope, type Tensor } from '@mezzo/torch';

/** Plain overlap, and the variants with penalties for the hull, the centre distance, and the shape. */
export type IouKind = 'iou' | 'giou' | 'diou' | 'ciou';

const EPS = 1e-7;

/**
 * Overlap of box i of `a` with box i of `b`: [..., 4] corners x1, y1, x2, y2 -> [...]. The heights and the
 * union get eps; widths do not. GIoU: Rezatofighi et al. 2019; DIoU and CIoU: Zheng et al. 2020, with CIoU's
 * trade-off weight taken as a constant in backward.
 */
export function pairwiseIou(a: Tensor, b: Tensor, kind: IouKind = 'iou', eps = EPS): Tensor {
  return scope(() => {
    const [ax1, ay1, ax2, ay2] = a.unbind(-1) as Corners;
    const [bx1, by1, bx2, by2] = b.unbind(-1) as Corners;
    const aw = ax2.sub(ax1);
    const ah = ay2.sub(ay1).add_(eps);
    const bw = bx2.sub(bx1);
    const bh = by2.sub(by1).add_(eps);
    const inter = ax2
      .minimum(bx2)
      .sub(ax1.maximum(bx1))
      .clampMin(0)
      .mul(ay2.minimum(by2).sub(ay1.maximum(by1)).clampMin(0));
    const union = aw.mul(ah).add(bw.mul(bh)).sub(inter).add_(eps);
    const iou = inter.div(union);
    if (kind === 'iou') return iou;

    const hullWidth = ax2.maximum(bx2).sub(ax1.minimum(bx1));
    const hullHeight = ay2.maximum(by2).sub(ay1.minimum(by1));
    if (kind === 'giou') {
      const hull = hullWidth.mul(hullHeight).add_(eps);
      return iou.sub(hull.sub(union).div(hull));
    }
    const diagonal = hullWidth.square().add(hullHeight.square()).add_(eps);
    const dx = bx1.add(bx2).sub(ax1).sub(ax2);
    const dy = by1.add(by2).sub(ay1).sub(ay2);
    const distance = dx.square().add(dy.square()).div(4).div(diagonal);
    if (kind === 'diou') return iou.sub(distance);

    const v = bw.div(bh).atan().sub(aw.div(ah).atan()).square().mul(4 / Math.PI ** 2);
    const alpha = noGrad(() => v.div(v.sub(iou).add_(1 + eps)));
    return iou.sub(distance.add(v.mul(alpha)));
  });
}

type Corners = [Tensor, Tensor, Tensor, Tensor];

/** Overlap of every box of `a` [N, 4] with every box of `b` [M, 4]: [N, M]. */
export function boxIouMatrix(a: Tensor, b: Tensor, eps = EPS): Tensor {
  return scope(() => {
    const size = a
      .select(1, 2)
      .sub(a.select(1, 0))
      .mul(a.select(1, 3).sub(a.select(1, 1)));
    const otherSize = b
      .select(1, 2)
      .sub(b.select(1, 0))
      .mul(b.select(1, 3).sub(b.select(1, 1)));
    const rows = a.unsqueeze(1);
    const columns = b.unsqueeze(0);
    const low = rows.narrow(2, 0, 2).maximum(columns.narrow(2, 0, 2));
    const high = rows.narrow(2, 2, 2).minimum(columns.narrow(2, 2, 2));
    const inter = high.sub(low).clampMin(0).prod(2);
    return inter.div(size.unsqueeze(1).add(otherSize).sub(inter).add(eps));
  });
}
