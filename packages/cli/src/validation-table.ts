import type { ValSummary } from '@mezzo/detect';
import { general } from './number-format.ts';

const NAME_WIDTH = 22;
const WIDTH = 11;

/** Ultralytics' validation header: a field of 22 and six of 11. */
export function validationHeader(): string {
  const fields = ['Images', 'Instances', 'Box(P', 'R', 'mAP50', 'mAP50-95)'];
  return 'Class'.padStart(NAME_WIDTH) + fields.map((field) => field.padStart(WIDTH)).join('');
}

interface Result {
  readonly images: number;
  readonly instances: number;
  readonly precision: number;
  readonly recall: number;
}

/** One row: `%22s`, two counts, four numbers with three digits. */
export function validationRow(name: string, result: Result, ap50: number, ap: number): string {
  const counts = [result.images, result.instances].map(String);
  const numbers = [result.precision, result.recall, ap50, ap].map((part) => general(part, 3));
  return name.padStart(NAME_WIDTH) + [...counts, ...numbers].map((field) => field.padStart(WIDTH)).join('');
}

/** Header, the row of all classes, and one row a class where there are several and `perClass` asks for them. */
export function validationTable(summary: ValSummary, perClass = true): string[] {
  const lines = [validationHeader(), validationRow('all', summary, summary.map50, summary.map)];
  if (!perClass || summary.perClass.length < 2) return lines;
  return lines.concat(summary.perClass.map((one) => validationRow(one.name, one, one.ap50, one.ap)));
}

/** `Speed: 0.3ms preprocess, 12.1ms inference, 1.0ms postprocess per image`. */
export function speedLine(speed: Readonly<Record<string, number>>): string {
  const parts = Object.entries(speed).map(([name, seconds]) => `${(seconds * 1000).toFixed(1)}ms ${name}`);
  return `Speed: ${parts.join(', ')} per image`;
}
