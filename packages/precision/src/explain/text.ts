import { layerName } from './detour.ts';
import { dataDtype, type Explanation, type LayerExplanation, type OpExplanation } from './explanation.ts';
import type { LayerGradients } from './gradients.ts';

export interface TextOptions {
  /** Rows of the tables of layers and operators, the dearest first. Default 20. */
  readonly rows?: number;
}

/** The explanation for a terminal: totals, the dearest operators, casts there and back, and gradients. */
export function explanationText(explanation: Explanation, { rows = 20 }: TextOptions = {}): string {
  return [
    ...heading(explanation),
    '',
    ...operators(explanation.layers, rows),
    '',
    ...unused(explanation.layers),
    ...detours(explanation),
    ...gradients(explanation, rows),
  ].join('\n');
}

function heading({ precision, machine, backward, totals }: Explanation): string[] {
  const { device, dtype, scale } = precision;
  const { seconds, casts, castBytes, castSeconds, castShare, byDtype, products } = totals;
  const shares = Object.entries(byDtype)
    .sort(([, a], [, b]) => b - a)
    .map(([name, time]) => `${name} ${percent(time / seconds)}`);
  return [
    `One ${backward ? 'training step' : 'forward pass'} in ${dtype} on ${device}${scale === 1 ? '' : `, loss scale ${scale}`} (${machine})`,
    `  operators  ${milliseconds(seconds)} ms: ${shares.join(', ')}`,
    `  casts      ${casts}, ${megabytes(castBytes)} MB read and written, ${milliseconds(castSeconds)} ms (${percent(castShare)})`,
    `  products   ${products.countOnUnits} of ${products.count} convolutions and matrix products on matrix units, ` +
      `${percent(products.seconds === 0 ? 0 : products.onUnits / products.seconds)} of their time`,
  ];
}

function operators(layers: readonly LayerExplanation[], rows: number): string[] {
  const all = layers.flatMap((layer) => layer.ops.map((op) => ({ layer, op })));
  all.sort((a, b) => b.op.seconds - a.op.seconds);
  const cells = all
    .slice(0, rows)
    .map(({ layer, op }) => [
      layerCell(layer),
      opCell(op),
      arrow(op),
      op.rule,
      milliseconds(op.seconds),
      percent(op.share),
      op.casts === 0 ? '' : `${op.casts}`,
      op.casts === 0 ? '' : megabytes(op.castBytes),
      op.casts === 0 ? '' : milliseconds(op.castSeconds),
      unitCell(op),
    ]);
  const header = ['layer', 'operator', 'dtypes', 'rule', 'ms', 'step', 'casts', 'MB', 'ms', 'matrix unit'];
  const rest = all.length - cells.length;
  return [...table(header, cells, 'llllrrrrrl'.split('')), ...(rest > 0 ? [`… and ${rest} more`] : [])];
}

/** Products that miss the matrix units, by reason. */
function unused(layers: readonly LayerExplanation[]): string[] {
  const reasons = new Map<string, Set<string>>();
  for (const layer of layers) {
    for (const { unit } of layer.ops) {
      if (unit === null || unit.use === 'yes') continue;
      const key = `${unit.use === 'no' ? `not on ${unit.unit}` : `on ${unit.unit} after a copy`}: ${unit.reasons.join('; ')}`;
      const names = reasons.get(key) ?? new Set();
      reasons.set(key, names.add(layerName(layer.name)));
    }
  }
  if (reasons.size === 0) return [];
  const lines = [...reasons].sort(([, a], [, b]) => b.size - a.size);
  return ['Matrix units', ...lines.map(([reason, names]) => `  ${reason}\n    ${list([...names], 6)}`), ''];
}

function detours({ detours: all }: Explanation): string[] {
  if (all.length === 0) return ['No data is cast back and forth.'];
  return [
    'Cast back and forth',
    ...all.flatMap(({ from, to, path, because, bytes, seconds, override, advice }) => [
      `  ${from} → ${to} → ${from}: ${path.map(({ layer, op }) => `${plain(op)} (${layerName(layer)})`).join(' → ')}`,
      `    ${because}; ${megabytes(bytes)} MB, ${milliseconds(seconds)} ms`,
      `    ${advice}${override === null ? '' : `: ${JSON.stringify(override)}`}`,
    ]),
  ];
}

function gradients({ layers, precision }: Explanation, rows: number): string[] {
  const found = layers.flatMap(({ gradient }) => (gradient === null ? [] : [gradient]));
  if (found.length === 0) return [];
  // The layers that the low dtype changes most come first.
  found.sort((a, b) => likeness(a) - likeness(b));
  const cells = found
    .slice(0, rows)
    .map(({ layer, norm, underflow, overflow, cosine }) => [
      layerName(layer),
      cosine === null ? '–' : cosine.toFixed(5),
      norm.float32.toExponential(2),
      norm.low.toExponential(2),
      percent(underflow.float32),
      percent(underflow.low),
      percent(overflow.float32),
      percent(overflow.low),
    ]);
  const low = precision.dtype;
  return [
    '',
    `Gradients, float32 against ${low} (loss scale ${precision.scale}), the least alike first`,
    ...table(
      ['layer', 'cosine', 'norm', `norm ${low}`, 'too small', 'lost', 'too large', 'not finite'],
      cells,
      'lrrrrrrr'.split(''),
    ),
    ...(found.length > cells.length ? [`… and ${found.length - cells.length} more`] : []),
  ];
}

/** A gradient that is not finite comes first, one that is zero in both last. */
const likeness = ({ cosine, norm }: LayerGradients) =>
  cosine ?? (norm.float32 === 0 && norm.low === 0 ? 2 : -2);

const layerCell = ({ name, type }: LayerExplanation) =>
  `${layerName(name)}${type === null ? '' : ` (${type})`}`;
const opCell = ({ op, phase, count }: OpExplanation) =>
  `${plain(op)}${phase === 'backward' ? ' ←' : ''}${count > 1 ? ` ×${count}` : ''}`;
const plain = (op: string) => op.replace(/^\w+::/, '');

/** 'float32 → bfloat16' for inputs and result, with what is computed in when it is neither. */
function arrow({ in: given, computed, out }: OpExplanation): string {
  const [from, inside] = [dataDtype(given), dataDtype(computed)];
  return [from, inside, out]
    .filter((dtype, i, all) => dtype !== null && dtype !== all[i - 1])
    .map(short)
    .join('→');
}

const SHORT: Readonly<Record<string, string>> = {
  float32: 'fp32',
  float16: 'fp16',
  bfloat16: 'bf16',
  float64: 'fp64',
};
const short = (dtype: string | null) => (dtype === null ? '' : (SHORT[dtype] ?? dtype));

function unitCell({ unit }: OpExplanation): string {
  if (unit === null) return '';
  return unit.use === 'yes'
    ? unit.unit
    : unit.use === 'converted'
      ? `${unit.unit}, copied`
      : `no ${unit.unit}`;
}

const list = (names: readonly string[], most: number) =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;

const milliseconds = (seconds: number) => (seconds * 1000).toFixed(2);
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e5 ? 3 : 1);
const percent = (part: number) => `${(part * 100).toFixed(1)} %`;

/** Columns as wide as their widest cell; `align` is 'l' or 'r' a column. */
function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly string[],
): string[] {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (align[i] === 'r' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)];
}
