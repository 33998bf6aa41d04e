import type { Command, Option, OptionTable, Value } from './option.ts';
import { appliesTo, GROUPS } from './options.ts';
import { fileOptions } from './table/files.ts';
import { kindsOf, show } from './value.ts';

export interface HelpLine {
  readonly name: string;
  /** `640`-like placeholder for the value, empty for a plain yes-or-no option. */
  readonly value: string;
  readonly help: string;
  /** Empty when there is nothing to say. */
  readonly default: string;
  /** Other spellings: `also img, img_size`, `--unamp: false`. Empty when there are none. */
  readonly spellings: string;
}

export interface HelpGroup {
  readonly title: string;
  readonly lines: readonly HelpLine[];
}

const PLACEHOLDER = {
  bool: '',
  int: 'N',
  float: 'X',
  text: 'TEXT',
  path: 'PATH',
  ints: 'N,N',
  size: 'N',
  device: 'DEVICE',
  share: '-1|0.7',
  choice: '',
} as const;

/** The options that do something in `command`, by subject. */
export function helpGroups(command: Command): HelpGroup[] {
  const groups = [{ title: 'Files of options', options: fileOptions as OptionTable }, ...GROUPS];
  return groups
    .map(({ title, options }) => ({
      title,
      lines: Object.entries(options)
        .filter(([, option]) => appliesTo(option, command) && option.refused === undefined)
        .map(([name, option]) => helpLine(name, option, option.defaults?.[command] ?? option.default)),
    }))
    .filter(({ lines }) => lines.length > 0);
}

export function helpLine(name: string, option: Option, initial: Value = option.default): HelpLine {
  return {
    name,
    value: placeholder(option),
    help: option.help,
    default: defaultText(option, initial),
    spellings: [
      ...(option.aliases === undefined ? [] : [`also ${option.aliases.join(', ')}`]),
      ...(option.negations ?? []).map((word) => `--${word}: false`),
    ].join('; '),
  };
}

/** `true|false`, `fp16|bf16`, `N`: what may stand after the `=`. */
export function placeholder(option: Option): string {
  const kinds = kindsOf(option);
  if (kinds.length === 1 && kinds[0] === 'bool') return '';
  return kinds
    .map((kind) =>
      kind === 'bool' ? 'true|false' : kind === 'choice' ? option.choices!.join('|') : PLACEHOLDER[kind],
    )
    .join('|');
}

/** `640`, `16 (8.4) or 0 (8.3)` for a switch of the recipe, nothing for null. */
export function defaultText(option: Option, initial: Value = option.default): string {
  if (option.recipe !== undefined) {
    return Object.entries(option.recipe)
      .map(([recipe, value]) => `${show(value)} (${recipe})`)
      .join(' or ');
  }
  return initial === null ? '' : show(initial);
}
