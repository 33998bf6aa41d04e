/** The commands that read the detector's option table. */
export const COMMANDS = ['train', 'val', 'predict', 'check', 'explain', 'export'] as const;
export type Command = (typeof COMMANDS)[number];

/**
 * The kinds of value an option takes. A row may join several with `|`: the first kind that fits decides.
 *
 * `ints` a list of whole numbers · `size` an image side in pixels · `device` `cpu`, `0`, `cuda:0` ·
 * `path` a file or folder (`~` is expanded) · `choice` one of the row's `choices` · `share` -1, or a part between 0
 * and 1.
 */
export type Kind =
  | 'bool'
  | 'int'
  | 'float'
  | 'text'
  | 'path'
  | 'ints'
  | 'size'
  | 'device'
  | 'choice'
  | 'share';

export type Value = boolean | number | string | readonly number[] | null;

export const RECIPES = ['8.4', '8.3'] as const;
export type Recipe = (typeof RECIPES)[number];

/** One row of the table: everything that parsing, checking, typing, helping and documenting needs. */
export interface Option {
  readonly type: Kind | `${Kind}|${Kind}`;
  /** `null`: nothing given; what that means is in `help`. */
  readonly default: Value;
  /** Where the option has an effect; everywhere when left out. */
  readonly commands?: readonly Command[];
  readonly help: string;
  /** Both ends included. */
  readonly range?: readonly [min: number, max: number];
  /** Exclusive lower bound. */
  readonly above?: number;
  readonly choices?: readonly string[];
  /** Other spellings of the name. */
  readonly aliases?: readonly string[];
  /** Flags that set the option to false. */
  readonly negations?: readonly string[];
  /** Defaults that differ from `default` in one command. */
  readonly defaults?: Readonly<Partial<Record<Command, Value>>>;
  /** The default depends on the recipe; `default` is `null` then. */
  readonly recipe?: Readonly<Record<Recipe, Value>>;
  /** Values that mean the same as the default, met in files of other versions. */
  readonly same?: readonly Value[];
  /** Where values of kind `share` are understood; everywhere when left out. */
  readonly shareIn?: readonly Command[];
  /** Why any value but the default is refused: the option's function does not exist here (yet). */
  readonly refused?: string;
  /** Single values that are refused: a pattern over the value's text, and why. */
  readonly later?: readonly (readonly [RegExp, string])[];
}

export type OptionTable = Readonly<Record<string, Option>>;

type Kinds<T extends string> = T extends `${infer First}|${infer Rest}` ? First | Kinds<Rest> : T;

interface InputOf {
  bool: boolean;
  int: number;
  float: number;
  text: string;
  path: string;
  ints: number | readonly number[];
  size: number | readonly [number, number];
  device: string | number;
  share: number;
}

interface SettingOf {
  bool: boolean;
  int: number;
  float: number;
  text: string;
  path: string;
  ints: readonly number[];
  size: number;
  device: string;
  share: number;
}

type Choice<O> = O extends { choices: readonly (infer C)[] } ? C : never;
type Plain<O, Of> = O extends { type: infer T extends string }
  ? (Kinds<T> extends infer K ? (K extends keyof Of ? Of[K] : never) : never) | Choice<O>
  : never;

type Works<T, C extends Command> = {
  [K in keyof T]: T[K] extends { refused: string }
    ? never
    : T[K] extends { commands: readonly (infer D)[] }
      ? C extends D
        ? K
        : never
      : never;
}[keyof T];

type Absent<O, C extends Command> = O extends { recipe: object }
  ? never
  : O extends { defaults: { [K in C]: infer D } }
    ? Extract<D, null>
    : O extends { default: null }
      ? null
      : never;

/** The values of a table that belongs to one command alone. */
export type TableSettings<T> = { readonly [K in keyof T]: Plain<T[K], SettingOf> | Absent<T[K], never> };

/** What a caller may give to command `C`: every key optional, `null` meaning the default. */
export type InputOptions<T, C extends Command> = { [K in Works<T, C>]?: Plain<T[K], InputOf> | null };

/** What command `C` works with: every key present, checked and in its canonical form. */
export type Settings<T, C extends Command> = {
  readonly [K in Works<T, C>]: Plain<T[K], SettingOf> | Absent<T[K], C>;
};
