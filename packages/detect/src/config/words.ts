import { didYouMean } from '@mezzo/libtorch/nearest';
import { ConfigError } from './errors.ts';
import type { Kind } from './option.ts';
import type { Spelling, Spellings } from './options.ts';
import { kindsOf, literal } from './value.ts';

/** An option as written: its row, what the text stands for, and the text itself. */
export interface Assignment {
  readonly name: string;
  readonly spelling: Spelling;
  readonly value: unknown;
  readonly text: string;
}

export interface ParsedWords {
  /** Words that are no option, in order. */
  readonly operands: string[];
  readonly assignments: Assignment[];
}

/** Words ahead of which a bare value belongs to the flag before it. */
const VALUE_KINDS: readonly Kind[] = [
  'int',
  'float',
  'text',
  'path',
  'ints',
  'size',
  'device',
  'choice',
  'share',
];

/**
 * Reads a command line after the command word. All of these set an option: `--imgsz 640`, `--imgsz=640`,
 * `imgsz=640`, `imgsz = 640`, `imgsz=640,` (the comma is dropped); a bare `--cos-lr` or `cos_lr` sets a yes-or-no
 * option to true; a list may be `0,2`, `[0, 2]`, or after a flag `0 2`. `--` ends the options.
 * @throws ConfigError UNKNOWN_OPTION (with the nearest name) or BAD_OPTION
 */
export function parseWords(argv: readonly string[], spellings: Spellings): ParsedWords {
  const end = argv.indexOf('--');
  const words = joinSplitWords(end < 0 ? argv : argv.slice(0, end));
  const operands: string[] = [];
  const assignments: Assignment[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const equals = word.indexOf('=');
    const flag = /^--?(?=[a-z])/i.exec(word)?.[0];
    if (equals > 0) {
      const key = word.slice(flag?.length ?? 0, equals);
      assignments.push(assign(spellings, key, word.slice(equals + 1).replace(/,$/, '')));
    } else if (flag !== undefined) {
      const key = word.slice(flag.length);
      const spelling = known(spellings, key, `'${word}'`);
      const values = valuesAfter(words, i + 1, spelling);
      i += values.length;
      assignments.push(
        values.length > 0 ? assign(spellings, key, values.join(',')) : bare(spelling, word, key),
      );
    } else {
      const spelling = spellings.find(word.replace(/,$/, ''));
      if (spelling === undefined) operands.push(word);
      else assignments.push(bare(spelling, word, word));
    }
  }
  if (end >= 0) operands.push(...argv.slice(end + 1));
  return { operands, assignments };
}

/** `epochs = 3`, `epochs =3` and `epochs= 3` become one word, and so does a list that blanks tear apart. */
function joinSplitWords(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    let word = argv[i]!;
    const next = argv[i + 1];
    if (next?.startsWith('=') && !word.includes('=')) {
      word += next;
      i++;
    }
    const value = argv[i + 1];
    if (word.length > 1 && word.endsWith('=') && value !== undefined && !startsOption(value)) {
      word += value;
      i++;
    }
    while (/=\s*\[[^\]]*$/.test(word) && i + 1 < argv.length) word += argv[++i]!;
    words.push(word);
  }
  return words;
}

function startsOption(word: string): boolean {
  return word.startsWith('--') || /^[a-z][\w-]*=/i.test(word);
}

function assign(spellings: Spellings, key: string, text: string): Assignment {
  const spelling = known(spellings, key, `'${key}'`);
  const value = literal(text);
  if (!spelling.negated) return { name: spelling.name, spelling, value, text };
  if (typeof value !== 'boolean') {
    throw new ConfigError('BAD_OPTION', `${key}=${text}: expected true or false`, { option: spelling.name });
  }
  return { name: spelling.name, spelling, value: !value, text: String(!value) };
}

/** The words after a flag that are its value: one, or for lists all numbers that follow. */
function valuesAfter(words: readonly string[], from: number, { option, negated }: Spelling): string[] {
  const kinds = negated ? [] : kindsOf(option);
  const first = words[from];
  if (first === undefined || startsOption(first) || /^-[a-z]/i.test(first)) return [];
  if (/^(true|false)$/i.test(first)) return [first];
  if (kinds.includes('ints') || kinds.includes('size')) {
    const stop = words.slice(from).findIndex((word) => !/^[\d,[\]]+$/.test(word));
    const numbers = words.slice(from, stop < 0 ? words.length : from + stop);
    if (numbers.length > 0) return numbers;
  }
  return kinds.some((kind) => VALUE_KINDS.includes(kind)) ? [first] : [];
}

function bare(spelling: Spelling, word: string, key: string): Assignment {
  const { name, option, negated } = spelling;
  if (negated || kindsOf(option).includes('bool')) {
    return { name, spelling, value: !negated, text: String(!negated) };
  }
  const wanted = option.default === null ? '…' : String(option.default);
  throw new ConfigError('BAD_OPTION', `'${word}' needs a value, for example ${key}=${wanted}`, {
    option: name,
  });
}

function known(spellings: Spellings, key: string, written: string): Spelling {
  const spelling = spellings.find(key);
  if (spelling !== undefined) return spelling;
  throw new ConfigError('UNKNOWN_OPTION', `unknown option ${written}${didYouMean(key, spellings.words())}`, {
    option: key,
  });
}
