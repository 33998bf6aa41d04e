import type { Command, InputOptions, Option, OptionTable, Settings } from './option.ts';
import { augmentationOptions } from './table/augmentation.ts';
import { foreignOptions } from './table/elsewhere.ts';
import { evaluationOptions, predictionOptions } from './table/evaluation.ts';
import { exportOptions } from './table/export.ts';
import { lossOptions, optimizerOptions } from './table/optimizer.ts';
import { pairOptions } from './table/pairs.ts';
import { precisionOptions } from './table/precision.ts';
import { rankOptions } from './table/ranks.ts';
import { recipeOptions } from './table/recipe.ts';
import { outputOptions, runOptions } from './table/run.ts';

/** The option table by subject, in the order of help and documentation. */
export const GROUPS: readonly { readonly title: string; readonly options: OptionTable }[] = [
  { title: 'Run', options: runOptions },
  { title: 'Several processes', options: rankOptions },
  { title: 'Output', options: outputOptions },
  { title: 'Precision', options: precisionOptions },
  { title: 'Optimizer and schedule', options: optimizerOptions },
  { title: 'Loss', options: lossOptions },
  { title: 'Augmentation', options: augmentationOptions },
  { title: 'Pairs of visible and infrared pictures', options: pairOptions },
  { title: 'Evaluation', options: evaluationOptions },
  { title: 'Prediction', options: predictionOptions },
  { title: 'Export', options: exportOptions },
  { title: 'Set by the recipe', options: recipeOptions },
  { title: 'Of other tasks and programs', options: foreignOptions },
];

const TABLE = {
  ...runOptions,
  ...rankOptions,
  ...outputOptions,
  ...precisionOptions,
  ...optimizerOptions,
  ...lossOptions,
  ...augmentationOptions,
  ...pairOptions,
  ...evaluationOptions,
  ...predictionOptions,
  ...exportOptions,
  ...recipeOptions,
  ...foreignOptions,
};

/** Every option of the detector, by name. */
export const OPTIONS: OptionTable = TABLE;

export type TrainOptions = InputOptions<typeof TABLE, 'train'>;
export type ValOptions = InputOptions<typeof TABLE, 'val'>;
export type PredictOptions = InputOptions<typeof TABLE, 'predict'>;
/** What the commands take that run a few training steps without training. */
export type CheckOptions = InputOptions<typeof TABLE, 'check'>;
export type ExplainOptions = InputOptions<typeof TABLE, 'explain'>;
export type ExportOptions = InputOptions<typeof TABLE, 'export'>;
export type TrainSettings = Settings<typeof TABLE, 'train'>;
export type ValSettings = Settings<typeof TABLE, 'val'>;
export type PredictSettings = Settings<typeof TABLE, 'predict'>;
export type CheckSettings = Settings<typeof TABLE, 'check'>;
export type ExplainSettings = Settings<typeof TABLE, 'explain'>;
export type ExportSettings = Settings<typeof TABLE, 'export'>;

export interface SettingsOf {
  train: TrainSettings;
  val: ValSettings;
  predict: PredictSettings;
  check: CheckSettings;
  explain: ExplainSettings;
  export: ExportSettings;
}

/** An option under one of its spellings; `negated` when that spelling is a flag that means false. */
export interface Spelling {
  readonly name: string;
  readonly option: Option;
  readonly negated: boolean;
}

/** Finds options by name, alias or negating flag; case does not count, and a dash is an underscore. */
export class Spellings {
  readonly #byWord = new Map<string, Spelling>();

  constructor(table: OptionTable) {
    for (const [name, option] of Object.entries(table)) {
      for (const word of [name, ...(option.aliases ?? [])]) {
        this.#byWord.set(word, { name, option, negated: false });
      }
      for (const word of option.negations ?? []) this.#byWord.set(word, { name, option, negated: true });
    }
  }

  find(word: string): Spelling | undefined {
    return this.#byWord.get(word.toLowerCase().replaceAll('-', '_'));
  }

  words(): Iterable<string> {
    return this.#byWord.keys();
  }
}

/** Does `option` change anything in `command`? */
export function appliesTo(option: Option, command: Command): boolean {
  return option.commands?.includes(command) ?? true;
}
