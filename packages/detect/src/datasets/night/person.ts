/** A person, from the front or walking past. */
import type { CounterRandom } from '../../augment/random.ts';
import type { Colour, Point } from './canvas.ts';
import { Drawing, type Thing } from './parts.ts';

const SKIN: readonly Colour[] = [
  [0.62, 0.45, 0.36],
  [0.5, 0.34, 0.25],
  [0.3, 0.2, 0.14],
];
const HEIGHT_METRES = [1.55, 1.9] as const;

/** Cloth: any colour, neither black nor white. */
function cloth(random: CounterRandom): Colour {
  const grey = random.between(0.15, 0.5);
  const tinge = () => Math.max(0.06, grey + random.between(-0.18, 0.18));
  return [tinge(), tinge(), tinge()];
}

/**
 * @param metre a metre at the place where the person stands, as a part of the side
 * @param warmth contrast of bare skin in infrared; 0 when nothing of it is to be seen
 */
export function person(foot: Point, metre: number, warmth: number, random: CounterRandom): Thing {
  const height = metre * random.between(...HEIGHT_METRES);
  const drawing = new Drawing(foot, height, random.chance(0.5));
  const heatOpacity = warmth > 0 ? 1 : 0;
  const wear = (albedo: Colour, part: number) => ({ albedo, heat: warmth * part, heatOpacity });
  const coat = cloth(random);
  const trousers = cloth(random);
  const build = random.between(0.85, 1.15);
  const stride = random.between(0.03, 0.15);
  const swing = random.between(0.02, 0.14);
  const insulation = random.between(0.55, 0.85);
  const coated = wear(coat, insulation);
  const legs = wear(trousers, random.between(0.5, 0.8));
  const bare = wear(SKIN[random.integer(SKIN.length)]!, 1);
  drawing
    .capsule([-0.035, 0.48], [-stride, 0.045], 0.045 * build, legs)
    .capsule([0.035, 0.48], [stride, 0.045], 0.045 * build, legs)
    .capsule([-0.1 * build, 0.78], [-0.1 * build - swing, 0.5], 0.034 * build, coated)
    .capsule([0, 0.75], [0, 0.54], 0.1 * build, coated)
    .capsule([0.1 * build, 0.78], [0.1 * build + swing * 0.7, 0.5], 0.034 * build, coated)
    .ellipse([-0.1 * build - swing, 0.47], [0.026, 0.03], bare)
    .ellipse([0, 0.925], [0.058, 0.075], bare);
  return drawing.done();
}
