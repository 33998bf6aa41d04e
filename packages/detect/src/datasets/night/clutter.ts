/** Things that have no label: warm ones, cold ones, and those that stand in front. */
import type { CounterRandom } from '../../augment/random.ts';
import type { Colour, Point } from './canvas.ts';
import { Drawing, type Thing } from './parts.ts';

type Maker = (foot: Point, metre: number, random: CounterRandom) => Thing;

const STEEL: Colour = [0.28, 0.29, 0.3];
const LEAVES: Colour = [0.07, 0.14, 0.05];

/** A heating pillar: upright and warm like a person, without limbs. */
const heater: Maker = (foot, metre, random) => {
  const tall = random.between(1.1, 1.9);
  const warm = random.between(0.2, 0.5);
  return new Drawing(foot, metre)
    .rectangle([-0.16, 0], [0.16, tall], { albedo: STEEL, heat: warm * 0.5 })
    .ellipse([0, tall], [0.26, 0.16], { albedo: STEEL, heat: warm })
    .done();
};

const manhole: Maker = (foot, metre, random) =>
  new Drawing(foot, metre)
    .ellipse([0, 0], [0.55, 0.17], { albedo: [0.08, 0.08, 0.08], heat: random.between(0.12, 0.4) })
    .done();

const cabinet: Maker = (foot, metre, random) => {
  const [wide, tall] = [random.between(0.5, 1.1), random.between(0.8, 1.4)];
  const warm = random.between(0.1, 0.3);
  return new Drawing(foot, metre)
    .rectangle([-wide / 2, 0], [wide / 2, tall], { albedo: [0.25, 0.28, 0.24], heat: warm })
    .rectangle([-wide / 3, tall * 0.55], [wide / 3, tall * 0.8], {
      albedo: [0.18, 0.2, 0.17],
      heat: warm * 1.7,
    })
    .done();
};

const dog: Maker = (foot, metre, random) => {
  const look = { albedo: [0.25, 0.18, 0.12] as const, heat: random.between(0.2, 0.45) };
  return new Drawing(foot, metre, random.chance(0.5))
    .capsule([-0.28, 0.4], [-0.3, 0.05], 0.045, look)
    .capsule([0.24, 0.4], [0.26, 0.05], 0.045, look)
    .capsule([-0.25, 0.45], [0.25, 0.45], 0.12, look)
    .ellipse([0.42, 0.6], [0.13, 0.1], look)
    .done();
};

const bin: Maker = (foot, metre, random) => {
  const tone = random.between(0.15, 0.4);
  return new Drawing(foot, metre)
    .rectangle([-0.26, 0], [0.26, 0.95], { albedo: [tone * 0.6, tone, tone * 0.7], heat: -0.02 })
    .rectangle([-0.3, 0.9], [0.3, 1.02], { albedo: [0.1, 0.1, 0.1], heat: -0.03 })
    .done();
};

const bench: Maker = (foot, metre) => {
  const wood = { albedo: [0.4, 0.27, 0.16] as const, heat: -0.02 };
  return new Drawing(foot, metre)
    .rectangle([-0.75, 0], [-0.65, 0.45], { albedo: STEEL, heat: -0.03 })
    .rectangle([0.65, 0], [0.75, 0.45], { albedo: STEEL, heat: -0.03 })
    .rectangle([-0.85, 0.4], [0.85, 0.5], wood)
    .rectangle([-0.85, 0.65], [0.85, 0.85], wood)
    .done();
};

const sign: Maker = (foot, metre, random) => {
  const face: Colour = random.chance(0.5) ? [0.6, 0.1, 0.1] : [0.12, 0.2, 0.55];
  return new Drawing(foot, metre)
    .rectangle([-0.04, 0], [0.04, 2.1], { albedo: STEEL, heat: -0.02 })
    .ellipse([0, 2.3], [0.32, 0.32], { albedo: [0.6, 0.6, 0.6], heat: -0.04 })
    .ellipse([0, 2.3], [0.25, 0.25], { albedo: face, heat: -0.04 })
    .done();
};

const bush: Maker = (foot, metre, random) => {
  const drawing = new Drawing(foot, metre);
  for (let i = 0; i < 5; i++) {
    const tone = random.between(0.8, 1.3);
    drawing.ellipse(
      [random.between(-0.55, 0.55), random.between(0.3, 0.75)],
      [random.between(0.35, 0.5), random.between(0.3, 0.45)],
      { albedo: [LEAVES[0] * tone, LEAVES[1] * tone, LEAVES[2] * tone], heat: random.between(-0.06, -0.01) },
    );
  }
  return drawing.done();
};

/** A trunk whose crown is above the picture. */
const tree: Maker = (foot, metre, random) =>
  new Drawing(foot, metre)
    .polygon(
      [
        [-0.2, 0],
        [0.2, 0],
        [0.13, 6],
        [-0.13, 6],
      ],
      { albedo: [0.14, 0.1, 0.07], heat: random.between(-0.03, 0.02) },
    )
    .done();

const post: Maker = (foot, metre) =>
  new Drawing(foot, metre).rectangle([-0.07, 0], [0.07, 6], { albedo: STEEL, heat: -0.04 }).done();

export const CLUTTER = {
  warm: [heater, heater, manhole, cabinet, dog],
  cold: [bin, bench, sign, bush],
  inFront: [tree, post, bush],
} as const satisfies Record<string, readonly Maker[]>;

const PANE: Colour = [0.09, 0.1, 0.11];
const FRAME: Colour = [0.3, 0.31, 0.33];

/** Half the width of a shelter, and its height, metres. */
export const SHELTER_METRES = { half: 1.5, height: 2.4 } as const;

/**
 * A glass shelter with a lamp in its roof: what is behind it, and the pane in front of who stands inside. Glass
 * passes light and stops far infrared, so that the visible picture alone shows them.
 */
export function shelter(foot: Point, metre: number, random: CounterRandom): { back: Thing; pane: Thing } {
  const { half, height } = SHELTER_METRES;
  const heat = random.between(-0.09, -0.02);
  const back = new Drawing(foot, metre)
    .rectangle([-half, 0.1], [half, height], { albedo: [0.2, 0.21, 0.22], heat })
    .rectangle([-half * 0.8, 0.4], [half * 0.8, 0.5], { albedo: [0.35, 0.25, 0.16], heat })
    .done();
  const drawing = new Drawing(foot, metre)
    .rectangle([-half, 0], [half, height], { albedo: PANE, opacity: 0.12, heat })
    .rectangle([-half - 0.15, height - 0.06], [half + 0.15, height + 0.14], {
      albedo: FRAME,
      heat: heat - 0.02,
    })
    .rectangle([-half * 0.7, height - 0.16], [half * 0.7, height - 0.08], {
      albedo: FRAME,
      glow: [1.1, 1.15, 1.2],
      heat: heat + 0.03,
    });
  for (const x of [-half, half - 0.07])
    drawing.rectangle([x, 0], [x + 0.07, height], { albedo: FRAME, heat });
  return { back, pane: drawing.done() };
}
