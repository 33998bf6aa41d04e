import { TorchError } from '@mezzo/libtorch';
import { noGrad } from '../autograd/modes.ts';
import { type DType, isComplexDType, isFloatingDType } from './dtype.ts';
import { scope } from './scope.ts';
import type { Tensor } from './tensor.ts';

/** PyTorch's print options: digits, elements above which dimensions are abbreviated, ends shown, columns. */
const PRECISION = 4;
const THRESHOLD = 1000;
const EDGE = 3;
const LINE_WIDTH = 80;

const PREFIX = 'tensor(';
/** Dtypes that the values themselves show. */
const PLAIN_DTYPES = new Set<DType>(['float32', 'int64', 'bool']);

type Value = number | bigint | boolean;

/** The text PyTorch prints for a tensor, with the names of this library in the suffix. */
export function formatTensor(tensor: Tensor): string {
  try {
    return format(tensor);
  } catch (error) {
    if (error instanceof TorchError && error.code === 'STALE_HANDLE') return 'tensor(<disposed>)';
    throw error;
  }
}

function format(tensor: Tensor): string {
  const shape = tensor.shape;
  const abbreviated = tensor.numel() > THRESHOLD;
  const suffixes = describeProperties(tensor, abbreviated);
  if (tensor.numel() === 0) return addSuffixes(`${PREFIX}[]`, suffixes);
  if (isComplexDType(tensor.dtype))
    return addSuffixes(`${PREFIX}<complex>`, [`shape=[${shape}]`, ...suffixes]);
  const values = visibleValues(tensor, abbreviated);
  const formatter = formatterFor(values, isFloatingDType(tensor.dtype));
  const visible = shape.map((size) => (abbreviated && size > 2 * EDGE ? 2 * EDGE : size));
  const text = formatLevel({ values, shape, visible, ...formatter }, 0, 0, PREFIX.length);
  return addSuffixes(PREFIX + text, suffixes);
}

function describeProperties(tensor: Tensor, abbreviated: boolean): string[] {
  const suffixes: string[] = [];
  if (abbreviated || tensor.numel() === 0) suffixes.push(`shape=[${tensor.shape.join(', ')}]`);
  if (tensor.device !== 'cpu') suffixes.push(`device='${tensor.device}'`);
  if (!PLAIN_DTYPES.has(tensor.dtype)) suffixes.push(`dtype=${tensor.dtype}`);
  if (tensor.gradFn !== null) suffixes.push(`gradFn=<${tensor.gradFn}>`);
  else if (tensor.requiresGrad) suffixes.push('requiresGrad=true');
  return suffixes;
}

/** The elements that are printed: all, or the first and last three of each long dimension. */
function visibleValues(tensor: Tensor, abbreviated: boolean): Value[] {
  return scope(() =>
    noGrad(() => {
      let shown: Tensor = tensor.detach();
      for (const [dim, size] of shown.shape.entries()) {
        if (!abbreviated || size <= 2 * EDGE) continue;
        shown = joinEnds(shown, dim, size);
      }
      const isBool = tensor.dtype === 'bool';
      return Array.from(shown.toTypedArray() as Iterable<number | bigint>, (v) => (isBool ? v !== 0 : v));
    }),
  );
}

function joinEnds(tensor: Tensor, dim: number, size: number): Tensor {
  const joined = tensor.narrow(dim, 0, 2 * EDGE).clone();
  joined.narrow(dim, EDGE, EDGE).copy_(tensor.narrow(dim, size - EDGE, EDGE));
  return joined;
}

interface Formatter {
  readonly width: number;
  readonly text: (value: Value) => string;
}

/** One notation for all values: integers, fixed point, or powers of ten when the magnitudes lie far apart. */
function formatterFor(values: readonly Value[], floating: boolean): Formatter {
  if (!floating) {
    const text = (value: Value) => String(value);
    return { width: Math.max(...values.map((value) => text(value).length)), text };
  }
  const finite = (values as number[]).filter((value) => Number.isFinite(value) && value !== 0);
  const magnitudes = finite.map(Math.abs);
  const largest = Math.max(...magnitudes);
  const smallest = Math.min(...magnitudes);
  const whole = finite.every(Number.isInteger);
  const scientific = largest / smallest > 1000 || largest > 1e8 || (!whole && smallest < 1e-4);
  const notation = scientific ? exponential : whole ? wholeNumber : fixedPoint;
  const text = (value: Value) =>
    Number.isFinite(value) ? notation(value as number) : nonFinite(value as number);
  return { width: Math.max(1, ...finite.map((value) => text(value).length)), text };
}

const signed = (value: number, text: string) => (Object.is(value, -0) ? `-${text}` : text);
const wholeNumber = (value: number) => signed(value, `${value.toFixed(0)}.`);
const fixedPoint = (value: number) => signed(value, value.toFixed(PRECISION));
const exponential = (value: number) =>
  signed(value, value.toExponential(PRECISION).replace(/([+-])(\d)$/, '$10$2'));
const nonFinite = (value: number) => (Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf');

interface Layout extends Formatter {
  readonly values: readonly Value[];
  readonly shape: readonly number[];
  readonly visible: readonly number[];
}

function formatLevel(layout: Layout, dim: number, offset: number, indent: number): string {
  const { shape, visible } = layout;
  const cell = (value: Value) => layout.text(value).padStart(layout.width);
  if (dim === shape.length) return cell(layout.values[offset]!);
  const shown = visible[dim]!;
  const elided = shown < shape[dim]!;
  const step = visible.slice(dim + 1).reduce((product, size) => product * size, 1);
  const parts = Array.from({ length: shown }, (_, i) =>
    dim === shape.length - 1
      ? cell(layout.values[offset + i]!)
      : formatLevel(layout, dim + 1, offset + i * step, indent + 1),
  );
  if (dim === shape.length - 1) return `[${wrapRow(parts, elided, layout.width, indent)}]`;
  if (elided) parts.splice(EDGE, 0, '...');
  const separator = `,${'\n'.repeat(shape.length - dim - 1)}${' '.repeat(indent + 1)}`;
  return `[${parts.join(separator)}]`;
}

function wrapRow(cells: string[], elided: boolean, width: number, indent: number): string {
  const perLine = Math.max(1, Math.floor((LINE_WIDTH - indent) / (width + 2)));
  const row = elided ? [...cells.slice(0, EDGE), ' ...', ...cells.slice(-EDGE)] : cells;
  const lines: string[] = [];
  for (let i = 0; i < row.length; i += perLine) lines.push(row.slice(i, i + perLine).join(', '));
  return lines.join(`,\n${' '.repeat(indent + 1)}`);
}

function addSuffixes(text: string, suffixes: readonly string[]): string {
  let result = text;
  let column = text.length - (text.lastIndexOf('\n') + 1);
  for (const suffix of suffixes) {
    if (column + suffix.length + 2 > LINE_WIDTH) {
      result += `,\n${' '.repeat(PREFIX.length)}${suffix}`;
      column = PREFIX.length + suffix.length;
    } else {
      result += `, ${suffix}`;
      column += suffix.length + 2;
    }
  }
  return `${result})`;
}
