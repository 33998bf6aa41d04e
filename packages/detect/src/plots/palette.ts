const PALETTE = [
  '#e6483d',
  '#2f7ed8',
  '#35a852',
  '#f2a516',
  '#8e5ad8',
  '#12a5b0',
  '#e4559f',
  '#8a6b3f',
  '#a3c520',
  '#f07f3c',
  '#4b5fd6',
  '#1f8f74',
  '#c23b76',
  '#6fb7ee',
  '#b5893a',
  '#7d8794',
  '#5cc98d',
  '#b06be0',
  '#d8c02b',
  '#a8442f',
] as const;

/** The colour of a class, as `#rrggbb`; colours repeat after twenty classes. */
export function classColor(id: number): string {
  return PALETTE[id % PALETTE.length]!;
}

/** Black or white, whichever has the higher contrast (WCAG) on a background `#rrggbb`. */
export function readableOn(background: string): '#000000' | '#ffffff' {
  const luminance = relativeLuminance(background);
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? '#000000' : '#ffffff';
}

function relativeLuminance(color: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
