/** From white through blue to nearly black: a sequential scale that stays readable in grey. */
const STOPS = [
  [255, 255, 255],
  [198, 219, 239],
  [107, 174, 214],
  [33, 113, 181],
  [8, 48, 107],
] as const;

/** The colour of a share, 0 to 1, as `#rrggbb`. */
export function heatColor(share: number): string {
  const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const k = Math.min(Math.floor(at), STOPS.length - 2);
  const channels = STOPS[k]!.map((from, c) => Math.round(from + (STOPS[k + 1]![c]! - from) * (at - k)));
  return `#${channels.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
}
