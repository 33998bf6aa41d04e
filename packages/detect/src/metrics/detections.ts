/** Boxes found in one image, most confident first. Corner boxes are flat: x1, y1, x2, y2 of box 0, then box 1, … */
export interface Detections {
  readonly count: number;
  /** Pixels, `4 * count` values. */
  readonly boxes: Float32Array;
  /** Confidence, 0 to 1. */
  readonly conf: Float32Array;
  /** Class index. */
  readonly cls: Int32Array;
}

/** The true boxes of one image, in the same pixels as the detections they are compared with. */
export interface Targets {
  readonly count: number;
  readonly boxes: Float32Array;
  readonly cls: Int32Array;
}

/**
 * Intersection over union of every target with every detection.
 *
 * @param rows corner boxes, 4 values each
 * @param columns corner boxes, 4 values each
 * @returns row-major [rows × columns], in fp32; 0 where both boxes are empty
 */
export function boxIou(rows: Float32Array, columns: Float32Array): Float32Array {
  const n = rows.length / 4;
  const m = columns.length / 4;
  const iou = new Float32Array(n * m);
  const areas = new Float64Array(m);
  for (let j = 0; j < m; j++) {
    areas[j] = (columns[4 * j + 2]! - columns[4 * j]!) * (columns[4 * j + 3]! - columns[4 * j + 1]!);
  }
  for (let i = 0; i < n; i++) {
    const x1 = rows[4 * i]!;
    const y1 = rows[4 * i + 1]!;
    const x2 = rows[4 * i + 2]!;
    const y2 = rows[4 * i + 3]!;
    const area = (x2 - x1) * (y2 - y1);
    for (let j = 0; j < m; j++) {
      const width = Math.min(x2, columns[4 * j + 2]!) - Math.max(x1, columns[4 * j]!);
      if (!(width > 0)) continue;
      const height = Math.min(y2, columns[4 * j + 3]!) - Math.max(y1, columns[4 * j + 1]!);
      if (!(height > 0)) continue;
      const overlap = width * height;
      iou[i * m + j] = overlap / (area + areas[j]! - overlap);
    }
  }
  return iou;
}
