/** Vehicles: cars and vans, from the side, the front or behind. */
import type { CounterRandom } from '../../augment/random.ts';
import type { Colour, Point } from './canvas.ts';
import type { Halo, Pool } from './light.ts';
import { Drawing, type Thing } from './parts.ts';

const GLASS: Colour = [0.05, 0.06, 0.08];
const RUBBER: Colour = [0.035, 0.035, 0.035];
const HEAD_LAMP: Colour = [3.2, 3.1, 2.8];
const HEAD_LAMP_HALO: Colour = [1.6, 1.55, 1.4];
const HEAD_LAMP_POOL: Colour = [0.5, 0.48, 0.44];
/** Places of the lamps, metres. */
const LAMP_XS = [-0.62, 0.62] as const;
const LAMP_HEIGHT = 0.66;
/** Parts of the vehicles without head-lamps that are seen from the side; of all that are high. */
const SIDE_VIEW = 0.55;
const VAN = 0.35;
const REFLECTOR: Colour = [0.45, 0.06, 0.05];

/** What a shining vehicle adds to the light of its scene. */
export interface Vehicle extends Thing {
  halos: Halo[];
  pools: Pool[];
}

export interface VehicleLook {
  /** Contrast of its hottest parts in infrared; 0 when it has the temperature of the street. */
  warmth: number;
  /** Seen from the front, with its head-lamps on. */
  lampsOn: boolean;
}

function lacquer(random: CounterRandom): Colour {
  const grey = random.between(0.15, 0.6);
  const tinge = () => Math.min(0.7, Math.max(0.08, grey + random.between(-0.15, 0.15)));
  return [tinge(), tinge(), tinge()];
}

/** @param metre a metre at the place where the vehicle stands, as a part of the side */
export function vehicle(foot: Point, metre: number, look: VehicleLook, random: CounterRandom): Vehicle {
  const heatOpacity = look.warmth > 0 ? 1 : 0;
  const of = (albedo: Colour, heat: number, glow?: Colour) => ({
    albedo,
    heat: look.warmth * heat,
    heatOpacity,
    ...(glow ? { glow } : {}),
  });
  const drawing = new Drawing(foot, metre, random.chance(0.5));
  const body = lacquer(random);
  if (!look.lampsOn) {
    if (random.chance(SIDE_VIEW)) sideView(drawing, random.chance(VAN), body, of, random);
    else endView(drawing, random.chance(0.5), false, body, of, random);
    return { ...drawing.done(), halos: [], pools: [] };
  }
  endView(drawing, true, true, body, of, random);
  const halos = LAMP_XS.map((x) => ({
    centre: [foot[0] + x * metre, foot[1] - LAMP_HEIGHT * metre] as const,
    radius: 0.42 * metre,
    colour: HEAD_LAMP_HALO,
  }));
  const pool: Pool = {
    centre: [foot[0], foot[1] + 0.9 * metre],
    radii: [2.2 * metre, 1.3 * metre],
    colour: HEAD_LAMP_POOL,
  };
  return { ...drawing.done(), halos, pools: [pool] };
}

type Material = (albedo: Colour, heat: number, glow?: Colour) => Omit<Thing['parts'][number], 'shape'>;

function sideView(drawing: Drawing, van: boolean, body: Colour, of: Material, random: CounterRandom): void {
  const paint = of(body, random.between(0.3, 0.5));
  const glass = of(GLASS, 0.15);
  const half = van ? 2.3 : random.between(1.9, 2.2);
  const roof = van ? 1.95 : random.between(1.38, 1.5);
  const [rear, nose] = van ? [-half + 0.05, half - 0.55] : [-half + 0.35, half - 0.95];
  drawing
    .polygon(
      [
        [rear, 0.85],
        [nose, 0.85],
        [van ? nose - 0.5 : nose - 0.7, roof],
        [van ? rear + 0.05 : rear + 0.5, roof],
      ],
      paint,
    )
    .polygon(
      [
        [van ? nose - 1.1 : rear + 0.3, 0.9],
        [nose - 0.14, 0.9],
        [van ? nose - 0.55 : nose - 0.74, roof - 0.1],
        [van ? nose - 1.1 : rear + 0.58, roof - 0.1],
      ],
      glass,
    )
    .polygon(
      [
        [-half, 0.34],
        [half, 0.34],
        [half, 0.72],
        [half - 0.3, 0.9],
        [-half + 0.1, 0.92],
        [-half, 0.8],
      ],
      paint,
    )
    // The engine under the bonnet, and the silencer.
    .ellipse([half - 0.55, 0.66], [0.42, 0.18], of(body, 0.9))
    .rectangle([-half + 0.1, 0.26], [half - 0.5, 0.36], of(RUBBER, 0.8))
    .rectangle([half - 0.08, 0.6], [half, 0.74], of([0.6, 0.6, 0.55], 0.4))
    .rectangle([-half, 0.62], [-half + 0.08, 0.8], of(REFLECTOR, 0.4));
  for (const x of [-half + 0.75, half - 0.8]) {
    drawing
      .ellipse([x, 0.33], [0.34, 0.34], of(RUBBER, 0.75))
      .ellipse([x, 0.33], [0.18, 0.18], of([0.4, 0.4, 0.4], 1));
  }
}

function endView(
  drawing: Drawing,
  front: boolean,
  lampsOn: boolean,
  body: Colour,
  of: Material,
  random: CounterRandom,
): void {
  const paint = of(body, random.between(0.35, 0.5));
  const roof = random.chance(VAN) ? 1.95 : random.between(1.4, 1.5);
  const lamp = front ? of([0.6, 0.6, 0.55], 0.7, lampsOn ? HEAD_LAMP : undefined) : of(REFLECTOR, 0.5);
  drawing
    .rectangle([-0.82, 0], [-0.54, 0.5], of(RUBBER, 0.7))
    .rectangle([0.54, 0], [0.82, 0.5], of(RUBBER, 0.7))
    .rectangle([-0.56, 0.22], [0.56, 0.4], of(RUBBER, 0.85))
    .polygon(
      [
        [-0.86, 0.85],
        [0.86, 0.85],
        [0.62, roof],
        [-0.62, roof],
      ],
      paint,
    )
    .polygon(
      [
        [-0.72, 0.9],
        [0.72, 0.9],
        [0.55, roof - 0.1],
        [-0.55, roof - 0.1],
      ],
      of(GLASS, 0.15),
    )
    .polygon(
      [
        [-0.88, 0.32],
        [0.88, 0.32],
        [0.9, 0.75],
        [0.8, 0.95],
        [-0.8, 0.95],
        [-0.9, 0.75],
      ],
      paint,
    )
    .rectangle([-0.42, 0.45], [0.42, 0.72], of(front ? RUBBER : body, front ? 1 : 0.45));
  for (const x of LAMP_XS) drawing.ellipse([x, LAMP_HEIGHT], [0.17, 0.1], lamp);
}
