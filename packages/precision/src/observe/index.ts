export { atLayer, type ObserveOptions, observe } from './observe.ts';
export { type AutocastPolicy, autocastPolicy } from './policy.ts';
export {
  type DtypeRule,
  type FirstNonFinite,
  type ObservedOp,
  OUTSIDE,
  type Place,
  type PlanLookup,
  type RoundTrip,
  type TensorNote,
  type Trace,
} from './trace.ts';
