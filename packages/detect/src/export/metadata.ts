import type { DetectionModel } from '../models/build.ts';

export interface MetadataOptions {
  readonly imgsz: number;
  readonly batch: number;
  readonly dynamic: boolean;
  readonly nms: boolean;
  readonly half: boolean;
  /** 17 to 21: the nodes are written in a form that all of these know. */
  readonly opset: number;
  /** Of Mezzo. */
  readonly version: string;
}

/**
 * What programs read in the file beside the network: the keys of Ultralytics' exports, whose values are texts in
 * Python's notation.
 */
export function onnxMetadata(model: DetectionModel, options: MetadataOptions): Record<string, string> {
  const { imgsz, batch, dynamic, nms, half, opset, version } = options;
  return {
    description: `${model.description.name}, a detector of ${model.nc} ${model.nc === 1 ? 'class' : 'classes'}`,
    author: 'Mezzo',
    date: new Date().toISOString(),
    version,
    license: 'Apache-2.0',
    stride: String(Math.max(...model.strides)),
    task: 'detect',
    batch: String(batch),
    imgsz: `[${imgsz}, ${imgsz}]`,
    names: `{${model.names.map((name, id) => `${id}: ${pythonText(name)}`).join(', ')}}`,
    args: `{${Object.entries({ batch, half, dynamic, simplify: false, opset, nms })
      .map(([key, value]) => `'${key}': ${pythonValue(value)}`)
      .join(', ')}}`,
    channels: String(model.ch),
    end2end: 'False',
  };
}

const pythonValue = (value: boolean | number): string =>
  typeof value === 'number' ? String(value) : value ? 'True' : 'False';

/** A Python string literal. */
function pythonText(text: string): string {
  const escaped = text
    .replace(/[\\']/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
    .replaceAll('\0', '\\x00');
  return `'${escaped}'`;
}
