import type { ApRule } from './ap.ts';
import type { MatchingRule } from './matching.ts';

/** How a validation turns detections into numbers. */
export interface MetricRules {
  readonly matching: MatchingRule;
  readonly ap: ApRule;
  /** Fitness, by which the best epoch is chosen, is `map50 * fitness.map50 + map * fitness.map`. */
  readonly fitness: { readonly map50: number; readonly map: number };
}

/** The rules of Ultralytics 8.4 (the default) and of the releases before it. */
export const METRIC_RULES: Record<'8.4' | '8.3', MetricRules> = {
  '8.4': { matching: 'confidence', ap: 'drop', fitness: { map50: 0, map: 1 } },
  '8.3': { matching: 'iou', ap: 'slope', fitness: { map50: 0.1, map: 0.9 } },
};
