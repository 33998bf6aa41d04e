import { didYouMean } from '@mezzo/libtorch/nearest';
import { ConfigError } from './errors.ts';
import type { TableSettings, Value } from './option.ts';
import { COMMANDS, type Command, type Option, type OptionTable, type Recipe } from './option.ts';
import type { CheckOptions, ExplainOptions, ExportOptions, TrainOptions, ValOptions } from './options.ts';
import { appliesTo, OPTIONS, type PredictOptions, type SettingsOf, Spellings } from './options.ts';
import { checkValue, isShare } from './value.ts';
import type { Assignment } from './words.ts';

export interface OptionsOf {
  train: TrainOptions;
  val: ValOptions;
  predict: PredictOptions;
  check: CheckOptions;
  explain: ExplainOptions;
  export: ExportOptions;
}

const spellings = new Spellings(OPTIONS);

/**
 * The complete settings of a command: given options checked and made canonical, the rest from the table and,
 * for the switches of a recipe, from `recipe`.
 * @throws ConfigError UNKNOWN_OPTION, BAD_OPTION or UNSUPPORTED_OPTION
 */
export function resolveSettings<C extends Command>(command: C, given: OptionsOf[C]): SettingsOf[C] {
  const checked = new Map<string, Value>();
  for (const [key, value] of Object.entries(given)) {
    const option = Object.hasOwn(OPTIONS, key) ? OPTIONS[key]! : unknownKey(key);
    requireUse(key, option, command);
    checked.set(key, checkValue(key, option, value));
    requireShareUse(key, option, checked.get(key), command);
  }
  const recipe = (checked.get('recipe') ?? OPTIONS.recipe!.default) as Recipe;
  const settings: Record<string, Value> = {};
  for (const [key, option] of Object.entries(OPTIONS)) {
    if (option.refused !== undefined || !appliesTo(option, command)) continue;
    settings[key] = checked.get(key) ?? defaultOf(option, command, recipe);
  }
  return Object.freeze(settings) as unknown as SettingsOf[C];
}

/**
 * The values of a table that belongs to one command alone, from its command line.
 * @throws ConfigError BAD_OPTION or UNSUPPORTED_OPTION
 */
export function resolveTable<T extends OptionTable>(
  table: T,
  assignments: readonly Assignment[],
): TableSettings<T> {
  const settings: Record<string, Value> = {};
  for (const [name, option] of Object.entries(table)) settings[name] = option.default;
  for (const { name, spelling, value, text } of assignments) {
    if (Object.hasOwn(table, name)) {
      settings[name] = checkValue(name, spelling.option, value, text) ?? spelling.option.default;
    }
  }
  return settings as TableSettings<T>;
}

/** What an option is when nobody sets it. */
export function defaultOf(option: Option, command: Command, recipe: Recipe): Value {
  return option.defaults?.[command] ?? option.recipe?.[recipe] ?? option.default;
}

/** @throws ConfigError UNSUPPORTED_OPTION when the option has no effect in `command` */
export function requireUse(name: string, option: Option, command: Command): void {
  if (option.refused !== undefined || appliesTo(option, command)) return;
  const users = (option.commands ?? COMMANDS).map((user) => `mezzo ${user}`).join(' and ');
  throw new ConfigError('UNSUPPORTED_OPTION', `${name} is an option of ${users}, not of mezzo ${command}`, {
    option: name,
  });
}

function requireShareUse(name: string, option: Option, value: Value | undefined, command: Command): void {
  if (!isShare(value) || option.shareIn === undefined || option.shareIn.includes(command)) return;
  const users = option.shareIn.map((user) => `mezzo ${user}`).join(' and ');
  throw new ConfigError(
    'BAD_OPTION',
    `${name}=${value} is understood by ${users}; mezzo ${command} takes a number`,
    {
      option: name,
    },
  );
}

function unknownKey(key: string): never {
  throw new ConfigError('UNKNOWN_OPTION', `unknown option '${key}'${didYouMean(key, spellings.words())}`, {
    option: key,
  });
}
