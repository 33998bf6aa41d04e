/** The random decisions for one training picture: pure functions of (seed, epoch, sample). */
import type { Augmentation } from './augmentation.ts';
import { cutAreas } from './cutmix.ts';
import type { AffineParameters, Rectangle } from './geometry.ts';
import { type ColourJitter, colourJitter } from './hsv.ts';
import { drawPair, type PairAugmentation, type PairDraw } from './pair-draw.ts';
import { CounterRandom } from './random.ts';

/** One picture before blending: a single image or a mosaic, and the affine map that is applied to it. */
export interface LayerDraw {
  mosaic: { centre: [x: number, y: number]; partners: [number, number, number] } | null;
  affine: AffineParameters;
}

export interface SampleDraw {
  layer: LayerDraw;
  /** The picture that is blended in; `weight` belongs to the first one. */
  mixup: { weight: number; partner: number; layer: LayerDraw } | null;
  /** The picture that a part is taken from, and the areas of the output to try, one after the other. */
  cutmix: { partner: number; layer: LayerDraw; areas: Rectangle[] } | null;
  colour: ColourJitter | null;
  flipud: boolean;
  fliplr: boolean;
  bgr: boolean;
  /** Of pairs of pictures only. */
  pair?: PairDraw;
}

export interface DrawContext {
  augment: Augmentation;
  seed: number;
  epoch: number;
  /** Index of the image in its data set. */
  sample: number;
  /** Side of the square that mosaics and cut areas are drawn for. */
  imgsz: number;
  /** How many images partners are drawn from; a partner is an integer in [0, pool). */
  pool: number;
  /** For pairs of pictures. */
  pair?: PairAugmentation | null;
}

// The ratio of two blended images is close to one half: Beta(32, 32).
const MIXUP_BETA = 32;

/** Draws everything random about one training picture. */
export function drawSample(context: DrawContext): SampleDraw {
  const { augment, seed, epoch, sample, imgsz, pool, pair } = context;
  const stream = (name: 'mosaic' | 'affine' | 'flip' | 'colour' | 'mixup' | 'cutmix' | 'infrared') =>
    new CounterRandom(seed, name, epoch, sample);
  const mosaic = stream('mosaic');
  const affine = stream('affine');
  const layer = drawLayer(context, mosaic, affine);
  const blend = stream('mixup');
  const mixup = blend.chance(augment.mixup)
    ? {
        weight: blend.beta(MIXUP_BETA, MIXUP_BETA),
        partner: blend.integer(pool),
        layer: drawLayer(context, mosaic, affine),
      }
    : null;
  const cut = stream('cutmix');
  const cutmix = cut.chance(augment.cutmix)
    ? {
        areas: cutAreas(cut, { width: imgsz, height: imgsz }),
        partner: cut.integer(pool),
        layer: drawLayer(context, cut, cut),
      }
    : null;
  const flips = stream('flip');
  return {
    layer,
    mixup,
    cutmix,
    colour: drawColour(augment, stream('colour')),
    flipud: flips.chance(augment.flipud),
    fliplr: flips.chance(augment.fliplr),
    bgr: flips.chance(augment.bgr),
    ...(pair ? { pair: drawPair(pair, stream('infrared')) } : {}),
  };
}

function drawLayer(context: DrawContext, mosaic: CounterRandom, affine: CounterRandom): LayerDraw {
  const { augment, imgsz, pool } = context;
  const joined = mosaic.chance(augment.mosaic);
  const centre = () => Math.floor(mosaic.between(0.5 * imgsz, 1.5 * imgsz));
  const around = (middle: number, reach: number) => affine.between(middle - reach, middle + reach);
  return {
    mosaic: joined
      ? {
          centre: [centre(), centre()],
          partners: [mosaic.integer(pool), mosaic.integer(pool), mosaic.integer(pool)],
        }
      : null,
    affine: {
      perspectiveX: around(0, augment.perspective),
      perspectiveY: around(0, augment.perspective),
      angle: around(0, augment.degrees),
      scale: around(1, augment.scale),
      shearX: around(0, augment.shear),
      shearY: around(0, augment.shear),
      translateX: around(0.5, augment.translate),
      translateY: around(0.5, augment.translate),
    },
  };
}

function drawColour({ hsv_h, hsv_s, hsv_v }: Augmentation, random: CounterRandom): ColourJitter | null {
  if (hsv_h === 0 && hsv_s === 0 && hsv_v === 0) return null;
  return colourJitter([
    random.between(-1, 1) * hsv_h,
    random.between(-1, 1) * hsv_s,
    random.between(-1, 1) * hsv_v,
  ]);
}
