import {
  BOLD_STROKE_WIDTH,
  CAP_HEIGHT,
  EM,
  GLYPHS,
  type Glyph,
  LETTER_SPACING,
  MISSING,
  STROKE_WIDTH,
} from './glyphs.ts';

export interface TextStyle {
  /** Height of the em in pixels; capitals are 0.7 of it. */
  readonly size: number;
  readonly color: string;
  /** Which end of the text the position is. */
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly bold?: boolean;
  /** Degrees, clockwise around the position. */
  readonly rotate?: number;
}

/** Characters the font lacks that have a plain spelling. */
const SPELLINGS: Readonly<Record<string, string>> = {
  '\u00a0': ' ',
  '\u00d7': 'x',
  '\u00df': 'ss',
  '\u2013': '-',
  '\u2014': '-',
  '\u2018': "'",
  '\u2019': "'",
  '\u201c': '"',
  '\u201d': '"',
  '\u2026': '...',
};

/** Width in pixels of a text, from the first to the last stroke. */
export function textWidth(text: string, size: number): number {
  const glyphs = glyphsOf(text);
  const spacing = LETTER_SPACING * Math.max(glyphs.length - 1, 0);
  return ((glyphs.reduce((sum, [width]) => sum + width, 0) + spacing) * size) / EM;
}

/** Height in pixels of capitals and digits. */
export function capHeight(size: number): number {
  return (CAP_HEIGHT * size) / EM;
}

/**
 * A text as one SVG path, its baseline at (x, y). Accents are left off; a character that the font lacks becomes an
 * empty box.
 */
export function svgText(text: string, x: number, y: number, style: TextStyle): string {
  const scale = style.size / EM;
  const shift = { start: 0, middle: 0.5, end: 1 }[style.anchor ?? 'start'] * textWidth(text, style.size);
  let pen = -shift / scale;
  let path = '';
  for (const [width, ...strokes] of glyphsOf(text)) {
    for (const stroke of strokes) path += moved(stroke, pen);
    pen += width + LETTER_SPACING;
  }
  if (path === '') return '';
  const rotate = style.rotate ? ` rotate(${style.rotate})` : '';
  const weight = style.bold ? BOLD_STROKE_WIDTH : STROKE_WIDTH;
  return (
    `<path transform="translate(${round(x)} ${round(y)})${rotate} scale(${scale.toFixed(4)})" d="${path}" fill="none" ` +
    `stroke="${style.color}" stroke-width="${weight}" stroke-linecap="round" stroke-linejoin="round"/>`
  );
}

/** Does the font have every character of a text, accents aside? */
export function canWrite(text: string): boolean {
  return text.trim() !== '' && !glyphsOf(text).includes(MISSING);
}

/** As much of a text as fits the width, with `...` at the end when something was left off. */
export function fitText(text: string, size: number, maxWidth: number): string {
  if (textWidth(text, size) <= maxWidth) return text;
  for (let length = text.length - 1; length > 0; length--) {
    const cut = `${text.slice(0, length).trimEnd()}...`;
    if (textWidth(cut, size) <= maxWidth) return cut;
  }
  return '';
}

function glyphsOf(text: string): Glyph[] {
  const base = text.normalize('NFD').replace(/\p{M}/gu, '');
  const spelled = Array.from(base, (character) => SPELLINGS[character] ?? character).join('');
  return Array.from(spelled, (character) => GLYPHS[character] ?? MISSING);
}

/** A stroke with its starting point shifted to the right. */
function moved(stroke: string, by: number): string {
  const comma = stroke.indexOf(',');
  return `M${round(Number(stroke.slice(0, comma)) + by)}${stroke.slice(comma)}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
