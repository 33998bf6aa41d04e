/** The option table of the detector and all that is made from it. Loads neither LibTorch nor a YAML reader. */
export { didYouMean, nearestNames } from '@mezzo/libtorch/nearest';
export { ConfigError, type ConfigErrorCode } from './errors.ts';
export { formatSettings, type OptionFile, readOptionFile } from './file.ts';
export { defaultText, type HelpGroup, type HelpLine, helpGroups, helpLine, placeholder } from './help.ts';
export { COMMAND_LINE_OPTIONS, joinLayers } from './layers.ts';
export {
  COMMANDS,
  type Command,
  type Kind,
  type Option,
  type OptionTable,
  RECIPES,
  type Recipe,
  type TableSettings,
  type Value,
} from './option.ts';
export {
  type CheckOptions,
  type CheckSettings,
  type ExplainOptions,
  type ExplainSettings,
  type ExportOptions,
  type ExportSettings,
  GROUPS,
  OPTIONS,
  type PredictOptions,
  type PredictSettings,
  type SettingsOf,
  type Spelling,
  Spellings,
  type TrainOptions,
  type TrainSettings,
  type ValOptions,
  type ValSettings,
} from './options.ts';
export { type OptionsOf, resolveSettings, resolveTable } from './settings.ts';
export { checkValue, expectation, show } from './value.ts';
export { type Assignment, type ParsedWords, parseWords } from './words.ts';
