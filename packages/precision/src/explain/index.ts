export { type Detour, detourOf } from './detour.ts';
export { type ExplainOptions, explain } from './explain.ts';
export {
  type Explanation,
  explanationJson,
  type LayerExplanation,
  type OpExplanation,
  type Totals,
} from './explanation.ts';
export type { InBoth, LayerGradients } from './gradients.ts';
export { type Machine, machineOf, type UnitUse, unitUse } from './matrix-unit.ts';
export { explanationPage } from './page.ts';
export { explanationText } from './text.ts';
