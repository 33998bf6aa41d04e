import { readFile } from 'node:fs/promises';
import { didYouMean } from '@mezzo/libtorch/nearest';
import { ConfigError } from './errors.ts';
import type { Command, Value } from './option.ts';
import { appliesTo, OPTIONS, Spellings } from './options.ts';
import { checkValue, literal, show } from './value.ts';

/** Keys that describe the run which wrote the file, and are not read back. */
const DESCRIPTIVE = new Set(['mode', 'save_dir', 'cfg']);

const spellings = new Spellings(OPTIONS);

/** What a YAML file turned out to be. */
export type OptionFile =
  | {
      readonly kind: 'options';
      readonly options: Readonly<Record<string, Value>>;
      /** Where each key of the file stands, `file:line: `; also of options at their default. */
      readonly places: ReadonlyMap<string, string>;
    }
  /** It has a `backbone`: the description of a network. */
  | { readonly kind: 'network' };

/**
 * Reads options from YAML. Keys of other commands are left out, since one `args.yaml` serves all of them, and so
 * are values equal to the table's default, since such a file lists every key.
 * @throws ConfigError BAD_CONFIG_FILE, or what is wrong with an option; the message opens with `file:line`
 */
export async function readOptionFile(path: string, command: Command): Promise<OptionFile> {
  const text = await readText(path);
  const { isMap, isScalar, LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const [reason] = fault.message.split(/ at line \d+/);
    throw new ConfigError('BAD_CONFIG_FILE', `${path}:${lines.linePos(fault.pos[0]).line}: ${reason}`);
  }
  if (!isMap(document.contents)) {
    throw new ConfigError('BAD_CONFIG_FILE', `${path}: expected lines of the form 'option: value'`);
  }
  if (document.has('backbone')) return { kind: 'network' };
  const options: Record<string, Value> = {};
  const places = new Map<string, string>();
  for (const { key, value } of document.contents.items) {
    const name = String(isScalar(key) ? key.value : key);
    const at = isScalar(key) && key.range ? lines.linePos(key.range[0]).line : 1;
    const where = `${path}:${at}: `;
    places.set(name, where);
    if (DESCRIPTIVE.has(name)) continue;
    const spelling = spellings.find(name);
    if (spelling === undefined || spelling.negated) {
      const near = didYouMean(name, Object.keys(OPTIONS));
      throw new ConfigError('UNKNOWN_OPTION', `${where}unknown option '${name}'${near}`, { option: name });
    }
    const plain = isScalar(value) ? value.value : (document.toJS() as Record<string, unknown>)[name];
    const given = typeof plain === 'string' ? literal(plain) : plain;
    const written = isScalar(value) && typeof value.source === 'string' ? value.source : show(plain);
    const checked = checkValue(spelling.name, spelling.option, given, written, where);
    if (checked === null || !appliesTo(spelling.option, command)) continue;
    if (show(checked) !== show(spelling.option.default)) options[spelling.name] = checked;
  }
  return { kind: 'options', options, places };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new ConfigError('BAD_CONFIG_FILE', `cannot read ${path}: ${reason}`, { cause });
  }
}

/** The `args.yaml` of a run: every setting, one a line, readable by `cfg=` here and by Ultralytics' tools. */
export function formatSettings(command: Command, settings: Readonly<Record<string, Value>>): string {
  const lines = ['task: detect', `mode: ${command}`];
  for (const [key, value] of Object.entries(settings)) lines.push(`${key}: ${yamlValue(value)}`);
  return `${lines.join('\n')}\n`;
}

function yamlValue(value: Value): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  if (typeof value !== 'string') return String(value);
  const plain = /^[\w./~-][\w./~ -]*$/.test(value) && literal(value) === value && !/^-( |$)| $/.test(value);
  return plain ? value : JSON.stringify(value);
}
