/** Label files: one object a line, `class cx cy w h` or a polygon `class x1 y1 x2 y2 …`, normalised to the image. */
import { isOutside, type LabelProblem, LabelRows, type Labels } from './label-rows.ts';

/** Parses the text of a label file; polygons become the boxes around them. */
export function parseLabels(text: string, classes: number): Labels | LabelProblem {
  const labels = new LabelRows();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === '') continue;
    const values = words.map(Number);
    const reason = rowProblem(words, values, classes);
    if (reason !== null) return { line: index + 1, reason };
    labels.add(values.length === 5 ? values : boxAround(values), index + 1);
  }
  return labels.labels;
}

function rowProblem(words: string[], values: number[], classes: number): string | null {
  if (values.length !== 5 && (values.length < 7 || values.length % 2 === 0)) {
    const count = `${values.length} ${values.length === 1 ? 'column' : 'columns'}`;
    return `${count}, where 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …' is expected`;
  }
  const notNumber = values.findIndex((value) => !Number.isFinite(value));
  if (notNumber >= 0) return `'${words[notNumber]}' is not a number`;
  const id = values[0]!;
  if (!Number.isInteger(id)) return `class ${words[0]} is not a whole number`;
  if (id < 0 || id >= classes)
    return `class ${id} is out of range: data.yaml has ${classes} (0 … ${classes - 1})`;
  const outside = values.findIndex((value, i) => i > 0 && isOutside(value));
  if (outside > 0) return `${words[outside]} is outside 0 … 1: coordinates are fractions of the image`;
  return null;
}

function boxAround([id, ...points]: number[]): number[] {
  const xs = points.filter((_, i) => i % 2 === 0);
  const ys = points.filter((_, i) => i % 2 === 1);
  const [x1, x2] = [Math.min(...xs), Math.max(...xs)];
  const [y1, y2] = [Math.min(...ys), Math.max(...ys)];
  return [id!, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];
}
