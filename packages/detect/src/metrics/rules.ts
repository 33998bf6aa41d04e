import type { ApRule } from './ap.ts';
import type { MatchingRule } from './matching.ts';

/** How the best epoch is chosen: by mAP50-95, or by 0.1 mAP50 + 0.9 mAP50-95. */
export type FitnessRule = 'map' | 'weighted';

/**
 * What a detection that reaches beyond the picture is matched as: `keep` whole, `cut` to the picture. Ground truth ends at
 * the edge, so `cut` gives such detections the higher overlap.
 */
export type EdgeRule = 'keep' | 'cut';

/** How a validation turns detections into numbers. */
export interface MetricRules {
  readonly match: MatchingRule;
  readonly apEnd: ApRule;
  readonly fitness: FitnessRule;
  readonly edges: EdgeRule;
}

/** The rules of Ultralytics 8.4, which are the default, and of the releases before it. */
export const METRIC_RULES: Record<'8.4' | '8.3', MetricRules> = {
  '8.4': { match: 'confidence', apEnd: 'drop', fitness: 'map', edges: 'keep' },
  '8.3': { match: 'iou', apEnd: 'slope', fitness: 'weighted', edges: 'cut' },
};

/** Higher is better. */
export function fitnessOf(map50: number, map: number, rule: FitnessRule): number {
  return rule === 'weighted' ? 0.1 * map50 + 0.9 * map : map;
}
