/** A `data.yaml` as a file: its values, and the lines they stand on. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { DataError } from './errors.ts';

/** What a yaml without a needed key is told. */
export const EXAMPLE = "it needs 'train:', 'val:' and 'names:', for example `train: images/train`";

/** A parsed data.yaml that knows the line of each key. */
export class DataYaml {
  readonly file: string;
  private readonly map: YAMLMap;
  private readonly values: Record<string, unknown>;
  private readonly lines: LineCounter;

  private constructor(file: string, map: YAMLMap, values: Record<string, unknown>, lines: LineCounter) {
    this.file = file;
    this.map = map;
    this.values = values;
    this.lines = lines;
  }

  /** @throws {DataError} naming the line of a fault */
  static async open(file: string): Promise<DataYaml> {
    const text = await readText(file);
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines });
    const [fault] = document.errors;
    if (fault) {
      const [reason] = fault.message.split(/ at line \d+/);
      throw new DataError(`${file}:${lines.linePos(fault.pos[0]).line}: ${reason}`, {
        hint: 'correct the YAML syntax there',
      });
    }
    if (!isMap(document.contents)) {
      throw new DataError(`${file}:1: a data.yaml holds lines of the form 'key: value'`, { hint: EXAMPLE });
    }
    return new DataYaml(file, document.contents, plainValues(file, document), lines);
  }

  get folder(): string {
    return path.dirname(this.file);
  }

  /** The value of a key; a key without a value counts as absent. */
  get(key: string): unknown {
    return this.values[key] ?? undefined;
  }

  /** `file:line` of a key. */
  where(key: string): string {
    for (const { key: node } of this.map.items) {
      if (isScalar(node) && node.value === key && node.range) {
        return `${this.file}:${this.lines.linePos(node.range[0]).line}`;
      }
    }
    return this.file;
  }

  error(key: string, message: string, hint: string): DataError {
    return new DataError(`${this.where(key)}: ${message}`, { hint });
  }
}

/** Aliases may stand for each other so often that a short text would fill the memory: that is refused. */
function plainValues(file: string, document: Document): Record<string, unknown> {
  try {
    return document.toJS() as Record<string, unknown>;
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new DataError(`${file}: ${reason}`, { hint: 'write the values out in place of aliases', cause });
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === 'EISDIR' ? 'it is a folder' : message;
    const hint = code === 'EISDIR' ? 'give the data.yaml inside it' : 'make the file readable';
    throw new DataError(`cannot read ${file}: ${reason}`, { hint, cause });
  }
}
