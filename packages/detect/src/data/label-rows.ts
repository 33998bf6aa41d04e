/** The objects of one image, in the form that all label formats are brought to. */

/** An object that was not taken over, and where it stands. */
export interface LeftOut {
  /** Why, as reports say it: `repeated label`, `box without area`, `crowd region`, … */
  what: string;
  line?: number;
}

export interface Labels {
  /** Rows `class cx cy w h`, one after another, normalised to the image. */
  rows: number[];
  leftOut: LeftOut[];
}

/** Why the labels of an image cannot be used. */
export interface LabelProblem {
  line?: number;
  reason: string;
}

const LOW = -0.01;
const HIGH = 1.01;

/** Is a normalised coordinate further outside the image than rounding explains? */
export function isOutside(value: number): boolean {
  return !(value >= LOW && value <= HIGH);
}

/** Collects rows; a repeated one and one without area are left out. */
export class LabelRows implements Labels {
  readonly rows: number[] = [];
  readonly leftOut: LeftOut[] = [];
  private readonly seen = new Set<string>();

  add(row: readonly number[], line?: number): void {
    if (row[3]! <= 0 || row[4]! <= 0) {
      this.leave('box without area', line);
      return;
    }
    const key = row.join(' ');
    if (this.seen.has(key)) {
      this.leave('repeated label', line);
      return;
    }
    this.seen.add(key);
    this.rows.push(...row);
  }

  leave(what: string, line?: number): void {
    this.leftOut.push(line === undefined ? { what } : { what, line });
  }

  get labels(): Labels {
    return { rows: this.rows, leftOut: this.leftOut };
  }
}

/**
 * Adds boxes in pixels. `size` is what they were drawn on, which may have been scaled since.
 * @returns why they cannot be used, if so
 */
export function addPixelBox(
  rows: LabelRows,
  cls: number,
  { centre, box, line }: { centre: readonly [number, number]; box: readonly [number, number]; line?: number },
  size: { width: number; height: number },
): string | null {
  const [x, y] = [centre[0] / size.width, centre[1] / size.height];
  const [width, height] = [box[0] / size.width, box[1] / size.height];
  if ([x, y, width, height].some(isOutside)) {
    const place = `centre ${centre.join(', ')}, size ${box.join(' x ')}`;
    return `a box (${place}) lies outside the picture of ${size.width} x ${size.height} pixels`;
  }
  rows.add([cls, x, y, width, height], line);
  return null;
}

/** The size that boxes in pixels refer to: the stated one, where it has the picture's proportions. */
export function statedSize(
  stated: { width: number; height: number } | null,
  picture: { width: number; height: number },
): { width: number; height: number } | { reason: string } {
  if (stated === null || !(stated.width > 0 && stated.height > 0)) return picture;
  // A scaled copy rounds its sides, by a pixel at most.
  const height = (picture.width * stated.height) / stated.width;
  if (Math.abs(height - picture.height) <= 1 + picture.width / stated.width) return stated;
  return {
    reason: `its labels are for ${stated.width} x ${stated.height} pixels, the upright picture has ${picture.width} x ${picture.height}`,
  };
}
