import type { Tensor } from '@mezzo/torch';
import type { Graph } from '../graph/graph.ts';
import { KerasTensor } from '../graph/keras-tensor.ts';
import { shapeText } from '../graph/shape.ts';
import type { AnyLayer } from '../layers/layer.ts';
import type { Writer } from '../training/writer.ts';
import type { Model } from './model.ts';

export interface SummaryOptions {
  /** Where to write it too, such as process.stdout. */
  writer?: Writer;
}

const NUMBER = new Intl.NumberFormat('en-US');

/** Layers (name, class), output shapes and parameters in a frame, and the totals, as Keras prints them. */
export function summary(model: Model, { writer }: SummaryOptions = {}): string {
  const weights = model.weights;
  const trained = new Set<Tensor>(model.trainableVariables);
  const text = [
    `Model: "${model.name}"`,
    ...frame(model.graph === null ? chainRows(model) : graphRows(model.graph)),
    ` Total params: ${sizeOf(weights)}`,
    ` Trainable params: ${sizeOf(weights.filter((weight) => trained.has(weight)))}`,
    ` Non-trainable params: ${sizeOf(weights.filter((weight) => !trained.has(weight)))}`,
    '',
  ].join('\n');
  writer?.write(text);
  return text;
}

const HEAD = ['Layer (type)', 'Output Shape', 'Param #'] as const;

const chainRows = ({ layers }: Model): string[][] => [[...HEAD], ...layers.map(cellsOf)];

/** With the inputs, and what each layer is called on. */
const graphRows = (graph: Graph): string[][] => [
  [...HEAD, 'Connected to'],
  ...graph.entries.map((entry) =>
    entry instanceof KerasTensor
      ? [`${entry.name} (InputLayer)`, shapeText(entry.shape), '0', '-']
      : [...cellsOf(entry), graph.sourcesOf(entry).join(', ')],
  ),
];

const cellsOf = (layer: AnyLayer): string[] => [
  `${layer.name} (${layer.constructor.name})`,
  layer.outputShape === null ? '?' : shapeText(layer.outputShape),
  layer.built ? NUMBER.format(layer.countParams()) : '0 (unbuilt)',
];

/** Number of elements, and their bytes. */
function sizeOf(weights: readonly Tensor[]): string {
  const bytes = weights.reduce((sum, weight) => sum + weight.numel() * bytesOf(weight.dtype), 0);
  const elements = weights.reduce((sum, weight) => sum + weight.numel(), 0);
  return `${NUMBER.format(elements)} (${sizeText(bytes)})`;
}

/** The column of numbers, which end in line. */
const PARAMS = 2;

/** Heavy lines around the head, light ones between rows. */
function frame(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = ([left, dash, cross, right]: string) =>
    left! + widths.map((width) => dash!.repeat(width + 2)).join(cross) + right!;
  const cells = (row: readonly string[], bar: string, edge = bar) => {
    const padded = row.map((text, i) => (i === PARAMS ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)));
    return `${edge} ${padded.join(` ${bar} `)} ${edge}`;
  };
  const [head, ...body] = rows;
  const between = line('├─┼┤');
  return [
    line('┏━┳┓'),
    cells(head!, '┃'),
    line('┡━╇┩'),
    ...body.flatMap((row, i) => (i === 0 ? [cells(row, '│')] : [between, cells(row, '│')])),
    line('└─┴┘'),
  ];
}

const bytesOf = (dtype: string): number => (dtype.endsWith('64') ? 8 : dtype.endsWith('16') ? 2 : 4);

/** Bytes in the largest unit below them, two digits after the point. */
function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = bytes === 0 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${(bytes / 1024 ** power).toFixed(2)} ${units[power]}`;
}
