import type { ValSummary } from '@mezzo/detect';
import { general } from './number-format.ts';
import type { Terminal } from './terminal.ts';

/** Characters of the first column and of each of the six others. */
export interface TableWidths {
  readonly name: number;
  readonly number: number;
}

/** Ultralytics' columns, which need 88 characters, and narrower ones. */
const WIDTHS: TableWidths = { name: 22, number: 11 };
const NARROW: TableWidths = { name: 15, number: 10 };
/** Longer class names are cut off. */
const LONGEST_NAME = 40;

/** Ultralytics' widths, unless somebody watches on a terminal that is too narrow for them. */
export function tableWidths({
  interactive,
  columns,
}: Pick<Terminal, 'interactive' | 'columns'>): TableWidths {
  return interactive && columns < WIDTHS.name + 6 * WIDTHS.number ? NARROW : WIDTHS;
}

/** Ultralytics' validation header: a field of 22 and six of 11. */
export function validationHeader(widths = WIDTHS): string {
  return line('Class', ['Images', 'Instances', 'Box(P', 'R', 'mAP50', 'mAP50-95)'], widths);
}

interface Result {
  readonly images: number;
  readonly instances: number;
  readonly precision: number;
  readonly recall: number;
}

/** One row: `%22s`, two counts, four numbers with three digits. */
export function validationRow(
  name: string,
  result: Result,
  ap50: number,
  ap: number,
  widths = WIDTHS,
): string {
  const counts = [result.images, result.instances].map(String);
  const numbers = [result.precision, result.recall, ap50, ap].map((part) => general(part, 3));
  return line(name, [...counts, ...numbers], widths);
}

/** Header, the row of all classes, and one row a class where there are several and `perClass` asks for them. */
export function validationTable(summary: ValSummary, perClass = true, widths = WIDTHS): string[] {
  const rows = perClass && summary.perClass.length > 1 ? summary.perClass : [];
  const longest = Math.min(LONGEST_NAME, Math.max(0, ...rows.map(({ name }) => name.length)));
  const fitted = widths === NARROW ? widths : { ...widths, name: Math.max(widths.name, longest + 1) };
  return [
    validationHeader(fitted),
    validationRow('all', summary, summary.map50, summary.map, fitted),
    ...rows.map((one) => validationRow(one.name, one, one.ap50, one.ap, fitted)),
  ];
}

function line(name: string, cells: readonly string[], { name: width, number }: TableWidths): string {
  const shown = name.length < width ? name : `${name.slice(0, width - 2).trimEnd()}…`;
  return shown.padStart(width) + cells.map((cell) => cell.padStart(number)).join('');
}

/** `Speed: 0.3ms preprocess, 12.1ms inference, 1.0ms postprocess per image`. */
export function speedLine(speed: Readonly<Record<string, number>>): string {
  const parts = Object.entries(speed).map(([name, seconds]) => `${(seconds * 1000).toFixed(1)}ms ${name}`);
  return `Speed: ${parts.join(', ')} per image`;
}
