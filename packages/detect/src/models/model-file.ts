import { readFileSync } from 'node:fs';
import { type Document, isCollection, LineCounter, parseDocument } from 'yaml';
import { type ModelTable, resolveModel } from './description.ts';
import { ModelError } from './errors.ts';

/** Classes of a file that leaves them to the data set; the check needs a number. */
const ANY_CLASSES = 80;

/**
 * Reads a model description in the form of Ultralytics' and YOLOv5's .yaml files and checks that it is one.
 * @throws {ModelError} `BAD_MODEL` with the line of what is wrong
 */
export function readModelFile(file: string): ModelTable {
  const lines = new LineCounter();
  const document = parseDocument(textOf(file), { lineCounter: lines });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const { line } = lines.linePos(fault.pos[0]);
    const [what] = fault.message.split(' at line');
    throw new ModelError('BAD_MODEL', `${file}:${line}: not a YAML file: ${what}`, { cause: fault });
  }
  const table = parsedValue(document, file);
  if (typeof table !== 'object' || table === null || Array.isArray(table)) {
    throw new ModelError('BAD_MODEL', `${file}: a model description has the keys backbone and head`);
  }
  try {
    resolveModel(table, { name: file, nc: (table as ModelTable).nc ?? ANY_CLASSES });
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const line = lineOf(document, lines, table as ModelTable, error);
    throw new ModelError('BAD_MODEL', `${file}${line === null ? '' : `:${line}`}: ${error.message}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
  return table as ModelTable;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ModelError('BAD_MODEL', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Throws where aliases of aliases would multiply until memory ends. */
function parsedValue(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new ModelError('BAD_MODEL', `${file}: not a YAML file: ${(cause as Error).message}`, { cause });
  }
}

/** The line of the layer or key that an error is about. */
function lineOf(
  document: Document,
  lines: LineCounter,
  { backbone }: ModelTable,
  { layer, key }: ModelError,
): number | null {
  const path = layer === undefined ? key && [key] : rowPath(layer, backbone.length);
  const node = path ? document.getIn(path, true) : undefined;
  if (isCollection(node) || (typeof node === 'object' && node !== null && 'range' in node)) {
    const range = (node as { range?: readonly number[] | null }).range;
    if (range) return lines.linePos(range[0]!).line;
  }
  return null;
}

const rowPath = (layer: number, backbone: number): [string, number] =>
  layer < backbone ? ['backbone', layer] : ['head', layer - backbone];
