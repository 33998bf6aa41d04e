export type { ChromeTrace } from './chrome-trace.ts';
export type { KernelEvent, ProfilerEvent } from './event.ts';
export type { KeyAverage, SortKey, TableOptions } from './key-averages.ts';
export { KeyAverages, Profile, type ProfileOptions, profile, recordFunction } from './profile.ts';
