import { homedir } from 'node:os';
import { nearestNames } from '@mezzo/libtorch/nearest';
import { ConfigError } from './errors.ts';
import type { Kind, Option, Value } from './option.ts';

/**
 * What a word on a command line or a YAML string stands for: `None`/`none`/`null` → null, `True`/`false` → boolean,
 * numbers, `[0, 1]` or `0,1` → list, quoted text without its quotes, else the text.
 */
export function literal(text: string): unknown {
  const word = text.trim();
  if (/^(none|null|)$/i.test(word)) return null;
  if (/^(true|false)$/i.test(word)) return word.toLowerCase() === 'true';
  if (isNumber(word)) return Number(word);
  const quoted = /^(['"])(.*)\1$/s.exec(word);
  if (quoted) return quoted[2]!;
  const list = /^\[(.*)\]$|^\((.*)\)$/s.exec(word);
  const body = list ? (list[1] ?? list[2] ?? '') : word;
  const parts = body.split(',').map((part) => part.trim());
  if (list || (parts.length > 1 && parts.every(isNumber))) {
    return body.trim() === '' ? [] : parts.filter((part) => part !== '').map(literal);
  }
  return word;
}

function isNumber(word: string): boolean {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word);
}

interface Reader {
  expected: (option: Option) => string;
  /** The canonical value, or undefined when `value` is not of this kind. `text` is what was written. */
  read: (value: unknown, text: string, option: Option) => Value | undefined;
}

const KINDS: Record<Kind, Reader> = {
  bool: {
    expected: () => 'true or false',
    read: (value) => (typeof value === 'boolean' ? value : undefined),
  },
  int: {
    expected: (option) => `a whole number${bounds(option)}`,
    read: (value, _text, option) =>
      Number.isSafeInteger(value) && within(value, option) ? (value as number) : undefined,
  },
  float: {
    expected: (option) => `a number${bounds(option)}`,
    read: (value, _text, option) => (within(value, option) ? (value as number) : undefined),
  },
  text: {
    expected: () => 'text',
    read: (value, text) => (typeof value === 'object' ? undefined : unquoted(value, text)),
  },
  path: {
    expected: () => 'a path',
    read: (value, text) =>
      typeof value === 'object' || typeof value === 'boolean' ? undefined : fromHome(unquoted(value, text)),
  },
  ints: {
    expected: () => 'whole numbers such as 0,2',
    read: (value, _text, option) => {
      const list = Array.isArray(value) ? (value as unknown[]) : [value];
      return list.every((part) => Number.isSafeInteger(part) && within(part, option))
        ? (list as number[])
        : undefined;
    },
  },
  size: {
    expected: (option) => `a whole number of pixels${bounds(option)}`,
    read: (value, _text, option) => {
      const sides = Array.isArray(value) ? (value as unknown[]) : [value];
      const [side] = sides;
      const square = sides.length <= 2 && sides.every((other) => other === side);
      return square && Number.isSafeInteger(side) && within(side, option) ? (side as number) : undefined;
    },
  },
  device: {
    expected: () => 'cpu, -1, or the number of a CUDA device such as 0 or cuda:0',
    read: (value) => {
      const one = Array.isArray(value) && value.length === 1 ? (value[0] as unknown) : value;
      if (one === -1 || one === '-1') return '-1';
      if (Number.isSafeInteger(one)) return (one as number) >= 0 ? `cuda:${one}` : undefined;
      if (typeof one !== 'string') return undefined;
      const match = /^(?:(cpu)|cuda|(?:cuda:)?(\d+))$/i.exec(one.trim());
      if (!match) return undefined;
      return match[1] ? 'cpu' : `cuda:${Number(match[2] ?? 0)}`;
    },
  },
  share: {
    expected: () => '-1 or a part such as 0.7',
    read: (value) => (isShare(value) ? value : undefined),
  },
  choice: {
    expected: (option) => oneOf(option.choices ?? []),
    read: (value, text, option) =>
      typeof value === 'boolean'
        ? undefined
        : option.choices?.find((choice) => choice.toLowerCase() === unquoted(value, text).toLowerCase()),
  },
};

/**
 * Checks one value against its row and returns its canonical form; null means the default.
 * @param given what was written: a literal, a YAML value, or what a program passed
 * @param text the same as text, where it was text
 * @throws ConfigError BAD_OPTION or UNSUPPORTED_OPTION; `where` (`file:line: `) opens its message
 */
export function checkValue(
  name: string,
  option: Option,
  given: unknown,
  text = show(given),
  where = '',
): Value {
  if (given === null || given === undefined) return null;
  const canonical = readKinds(option, given, text);
  const written = `${where}${name}=${text}`;
  if (option.refused !== undefined) {
    if (canonical !== undefined && meansDefault(option, canonical)) return null;
    throw new ConfigError('UNSUPPORTED_OPTION', `${written}: ${option.refused}`, {
      option: name,
      hint: `leave ${name} out`,
    });
  }
  if (canonical !== undefined) return canonical;
  const later = option.later?.find(([pattern]) => pattern.test(text.trim()));
  if (later) throw new ConfigError('UNSUPPORTED_OPTION', `${written}: ${later[1]}`, { option: name });
  throw new ConfigError(
    'BAD_OPTION',
    `${written}: expected ${expectation(option)}${nearChoice(option, text)}`,
    {
      option: name,
    },
  );
}

/** `a whole number of at least 1`, `true, false or one of fp16, bf16, fp32`. */
export function expectation(option: Option): string {
  const parts = kindsOf(option).map((kind) => KINDS[kind].expected(option));
  return parts.filter((part) => part !== '').join(', or ');
}

export function kindsOf(option: Option): Kind[] {
  return option.type.split('|') as Kind[];
}

/** A value as it is written on a command line. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (Array.isArray(value)) return value.map(show).join(',');
  if (typeof value === 'object' || typeof value === 'function') return JSON.stringify(value) ?? String(value);
  return String(value);
}

/** Is it a value of kind `share`? */
export const isShare = (value: unknown): value is number =>
  value === -1 || (typeof value === 'number' && value > 0 && value < 1);

function readKinds(option: Option, given: unknown, text: string): Value | undefined {
  for (const kind of kindsOf(option)) {
    const value = KINDS[kind].read(given, text, option);
    if (value !== undefined) return value;
  }
  return undefined;
}

function meansDefault(option: Option, value: Value): boolean {
  return [option.default, ...(option.same ?? [])].some((other) => show(other) === show(value));
}

function within(value: unknown, { range, above }: Option): boolean {
  if (typeof value !== 'number' || !Number.isFinite(value)) return false;
  if (above !== undefined && value <= above) return false;
  return range === undefined || (value >= range[0] && value <= range[1]);
}

function bounds({ range, above }: Option): string {
  const top = range === undefined || range[1] >= Number.MAX_SAFE_INTEGER ? undefined : range[1];
  if (above !== undefined) return ` above ${above}${top === undefined ? '' : ` and at most ${top}`}`;
  if (range === undefined) return '';
  return top === undefined ? ` of at least ${range[0]}` : ` from ${range[0]} to ${top}`;
}

function oneOf(choices: readonly string[]): string {
  if (choices.length === 0) return '';
  return choices.length === 1 ? `${choices[0]}` : `one of ${choices.join(', ')}`;
}

function nearChoice(option: Option, text: string): string {
  const choices = new Map((option.choices ?? []).map((choice) => [choice.toLowerCase(), choice]));
  const [near] = nearestNames(text, choices.keys(), 1);
  return near === undefined ? '' : `; did you mean ${choices.get(near)}?`;
}

function unquoted(value: unknown, text: string): string {
  return typeof value === 'string' ? value : text;
}

function fromHome(path: string): string | undefined {
  if (path.trim() === '') return undefined;
  return path === '~' || path.startsWith('~/') ? homedir() + path.slice(1) : path;
}
