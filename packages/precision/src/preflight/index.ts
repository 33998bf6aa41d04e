export { type CacheKey, cachedPreflight, preflightCacheFile } from './cache.ts';
export {
  FINDING_KINDS,
  type Finding,
  type FindingClass,
  finding,
  type Severity,
} from './finding.ts';
export { isOutOfMemory, withinMemory } from './fit-batch.ts';
export { LIMITS } from './limits.ts';
export { preflight } from './preflight.ts';
export { type PreflightNumbers, type PreflightReport, reportOf } from './report.ts';
export { judgeSmokeTest, smokeTest } from './smoke-test.ts';
export type { Difference, Pass, PassOutput, PreflightSubject } from './subject.ts';
export { type Verdict, verdictLine } from './verdict.ts';
