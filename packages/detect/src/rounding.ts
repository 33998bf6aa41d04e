/** Rounds to the nearest integer, halves to the even one, as Python, NumPy and IEEE 754 do. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}
