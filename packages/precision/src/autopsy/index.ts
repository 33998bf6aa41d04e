export { type AutopsyOptions, autopsy } from './autopsy.ts';
export type { ReplayRegion } from './replay.ts';
export type {
  AutopsyReport,
  CureCode,
  CureReport,
  FaultReport,
  FindingCode,
  InputReport,
  OperandReport,
  StateReport,
} from './report.ts';
export type { RandomStates } from './restore.ts';
export type { NamedInput } from './suspects.ts';
export { autopsyText } from './text.ts';
