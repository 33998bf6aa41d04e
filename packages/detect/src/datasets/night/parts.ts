/** Things of a scene as parts: an outline, what it is made of, how warm it is. */
import { around, type Box, boundsOf, type Colour, type Point, type Shape } from './canvas.ts';

export interface Part {
  shape: Shape;
  /** How much of each colour of light it throws back. */
  albedo: Colour;
  /** Light of its own. */
  glow?: Colour;
  /** Warmer (above 0) or colder than the street, as a part of infrared's scale. */
  heat: number;
  opacity?: number;
  heatOpacity?: number;
}

/** Something that stands on the ground, ready to be painted. */
export interface Thing {
  parts: Part[];
  /** Where it stands: its light is that of this place, along its width. */
  foot: Point;
  box: Box;
}

/** Parts drawn in a thing's own units: x from its middle, y upwards from the ground. */
export class Drawing {
  readonly parts: Part[] = [];
  private readonly foot: Point;
  private readonly unit: number;
  private readonly mirrored: 1 | -1;

  /** `unit` is the thing's own unit as a part of the picture's side. */
  constructor(foot: Point, unit: number, mirrored = false) {
    this.foot = foot;
    this.unit = unit;
    this.mirrored = mirrored ? -1 : 1;
  }

  private at([x, y]: Point): Point {
    return [this.foot[0] + x * this.unit * this.mirrored, this.foot[1] - y * this.unit];
  }

  capsule(from: Point, to: Point, radius: number, look: Omit<Part, 'shape'>): this {
    this.parts.push({
      shape: { kind: 'capsule', from: this.at(from), to: this.at(to), radius: radius * this.unit },
      ...look,
    });
    return this;
  }

  ellipse(centre: Point, [rx, ry]: Point, look: Omit<Part, 'shape'>): this {
    const radii: Point = [rx * this.unit, ry * this.unit];
    this.parts.push({ shape: { kind: 'ellipse', centre: this.at(centre), radii }, ...look });
    return this;
  }

  polygon(points: readonly Point[], look: Omit<Part, 'shape'>): this {
    this.parts.push({ shape: { kind: 'polygon', points: points.map((point) => this.at(point)) }, ...look });
    return this;
  }

  rectangle([x1, y1]: Point, [x2, y2]: Point, look: Omit<Part, 'shape'>): this {
    return this.polygon(
      [
        [x1, y1],
        [x2, y1],
        [x2, y2],
        [x1, y2],
      ],
      look,
    );
  }

  done(): Thing {
    return {
      parts: this.parts,
      foot: this.foot,
      box: around(this.parts.map(({ shape }) => boundsOf(shape))),
    };
  }
}
