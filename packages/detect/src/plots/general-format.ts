/**
 * A number as C's `%.{digits}g` writes it: so many significant digits, no trailing zeros, an exponent of at least two
 * digits for very large and very small values; `nan`, `inf` and `-inf` for the rest.
 */
export function formatGeneral(value: number, digits: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const [mantissa, exponentText] = value.toExponential(digits - 1).split('e') as [string, string];
  const exponent = Number(exponentText);
  if (exponent >= -4 && exponent < digits) {
    const fixed = value.toFixed(digits - 1 - exponent);
    return `${Object.is(value, -0) ? '-' : ''}${stripZeros(fixed)}`;
  }
  const sign = exponent < 0 ? '-' : '+';
  return `${stripZeros(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function stripZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
