/**
 * The parameters of the generated night; other numbers below `night/` are the looks of single things. FIXED, all of
 * them: they were chosen by looking at pictures, before any detector was trained on them, and are never tuned to a
 * result. A test holds the pixels they make.
 */

/** Which picture of a pair shows an object. */
export type SeenBy = 'both' | 'infrared' | 'visible';

type Range = readonly [low: number, high: number];

export interface NightPreset {
  /** Parts of the objects that both pictures show, only infrared, only the visible one; their sum is 1. */
  seenBy: Readonly<Record<SeenBy, number>>;
  /** Objects of a scene, whole numbers. */
  objects: Range;
  /** Probability that an object is a person; the others are vehicles. */
  people: number;
  streetLamps: Range;
  /** Light that reaches every place; a lamp gives about 1 below it. */
  moonlight: Range;
  /** Probability that a warm vehicle that is seen from the front dazzles with its lamps. */
  headLamps: number;
  /** Things without a label in a scene: warm ones, cold ones that lamps may show, and those in front of all. */
  warmClutter: Range;
  coldClutter: Range;
  occluders: Range;
  /** Glass shelters with nobody inside. */
  emptyShelters: Range;
  /** Contrast of a warm object in infrared, as a part of the scale. */
  warmth: Range;
  /** Standard deviations of the sensors' noise, in grey levels. */
  visibleNoise: Range;
  infraredNoise: Range;
  /** Registration error of the infrared picture: shift as a part of the side, turn in radians, relative zoom. */
  shift: number;
  turn: number;
  zoom: number;
}

export const NIGHT_PRESETS = {
  /** Neither picture shows all objects. */
  night: {
    seenBy: { both: 0.34, infrared: 0.36, visible: 0.3 },
    objects: [2, 6],
    people: 0.6,
    streetLamps: [1, 3],
    moonlight: [0.006, 0.02],
    headLamps: 0.6,
    warmClutter: [1, 4],
    coldClutter: [1, 4],
    occluders: [0, 2],
    emptyShelters: [0, 1],
    warmth: [0.2, 0.55],
    visibleNoise: [2.5, 5],
    infraredNoise: [3.5, 7],
    shift: 0.01,
    turn: 0.008,
    zoom: 0.01,
  },
  /** Infrared shows every object, clearly: alone it may win, as on LLVIP. */
  'clear-ir': {
    seenBy: { both: 0.45, infrared: 0.55, visible: 0 },
    objects: [2, 6],
    people: 0.6,
    streetLamps: [1, 3],
    moonlight: [0.006, 0.02],
    headLamps: 0.6,
    warmClutter: [0, 1],
    coldClutter: [1, 4],
    occluders: [0, 2],
    emptyShelters: [0, 0],
    warmth: [0.4, 0.65],
    visibleNoise: [2.5, 5],
    infraredNoise: [1.5, 3],
    shift: 0.006,
    turn: 0.004,
    zoom: 0.005,
  },
} as const satisfies Record<string, NightPreset>;

export type NightPresetName = keyof typeof NIGHT_PRESETS;

export const NIGHT_CLASSES = ['person', 'vehicle'] as const;
export type NightClass = (typeof NIGHT_CLASSES)[number];
