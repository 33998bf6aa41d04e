/** The augmentation keys that training implements, with Ultralytics' names and defaults. */

export const AUGMENTATION_DEFAULTS = {
  /** Largest hue shift, in turns of the colour circle. */
  hsv_h: 0.015,
  /** Largest relative change of saturation. */
  hsv_s: 0.7,
  /** Largest relative change of brightness. */
  hsv_v: 0.4,
  /** Largest rotation, degrees. */
  degrees: 0,
  /** Largest shift of the centre, as a fraction of the image. */
  translate: 0.1,
  /** Largest zoom: the scale is drawn from 1 ± scale. */
  scale: 0.5,
  /** Largest shear, degrees. */
  shear: 0,
  /** Largest perspective coefficient, per pixel. */
  perspective: 0,
  /** Probability of an upside-down flip. */
  flipud: 0,
  /** Probability of a left-right flip. */
  fliplr: 0.5,
  /** Probability of swapping red and blue. */
  bgr: 0,
  /** Probability of a four-image mosaic. */
  mosaic: 1,
  /** Probability of blending with a second augmented image. */
  mixup: 0,
  /** Probability of replacing a part with that of another augmented image. */
  cutmix: 0,
} as const;

export type AugmentationKey = keyof typeof AUGMENTATION_DEFAULTS;
export type Augmentation = Record<AugmentationKey, number>;

/** What `close_mosaic` switches off, and what batches of one shape each (`rect`) cannot have. */
export const WITHOUT_JOINING: Partial<Augmentation> = { mosaic: 0, mixup: 0, cutmix: 0 };

/** Every key that has an effect. A key outside this list must be refused unless it is at its neutral value. */
export const AUGMENTATION_KEYS = Object.keys(AUGMENTATION_DEFAULTS) as AugmentationKey[];
