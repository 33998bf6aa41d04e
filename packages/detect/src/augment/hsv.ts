/** The HSV jitter as look-up tables on OpenCV's 8-bit scale: H 0 … 179 (2 degrees a step), S and V 0 … 255. */

/** Random factors of one image, each in (-1, 1): hue in turns of the colour circle, saturation and value relative. */
export type HsvFactors = readonly [hue: number, saturation: number, value: number];

/** `additive`: hue is shifted (Ultralytics 8.3.79 and later). `multiplicative`: hue is scaled (before). */
export type HueRule = 'additive' | 'multiplicative';

export interface HsvTables {
  hue: Uint8Array;
  saturation: Uint8Array;
  value: Uint8Array;
}

const HUES = 180;

function modulo(x: number, m: number): number {
  return ((x % m) + m) % m;
}

/** 256 entries each, truncated to integers; saturation keeps 0 at 0, so grey stays grey. */
export function hsvTables([hue, saturation, value]: HsvFactors, rule: HueRule = 'additive'): HsvTables {
  const table = (entry: (level: number) => number) =>
    Uint8Array.from({ length: 256 }, (_, level) => entry(level));
  const scaled = (factor: number) => table((level) => Math.min(255, Math.max(0, level * (1 + factor))));
  return {
    hue: table((level) => modulo(rule === 'additive' ? level + HUES * hue : level * (1 + hue), HUES)),
    saturation: scaled(saturation),
    value: scaled(value),
  };
}

/** What the warp needs for the additive rule: the whole part of the hue shift, and the two gains. */
export interface ColourJitter {
  /** Added to H modulo 180, 0 … 179. */
  hue: number;
  saturation: number;
  value: number;
}

/**
 * The same jitter as `hsvTables` without tables: for an integer H, truncating (H + shift) mod 180 equals
 * shifting by the whole part.
 */
export function colourJitter([hue, saturation, value]: HsvFactors): ColourJitter {
  const shift = Math.floor(modulo(HUES * hue, HUES)) % HUES;
  return { hue: shift, saturation: Math.max(0, 1 + saturation), value: Math.max(0, 1 + value) };
}
