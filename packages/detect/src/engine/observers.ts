import { AutopsyObserver } from '../precision/autopsy-observer.ts';
import { RecorderObserver } from '../precision/recorder.ts';
import { ALONE, type Ranks } from '../ranks/ranks.ts';
import { scaleObservers } from './computed-scale.ts';
import type { FollowedRun } from './run.ts';
import type { WindowObserver } from './window-observer.ts';

/**
 * Those who follow a run window by window. The autopsy comes before the islands, which may change what it would look
 * at; the loss scale comes last, because it may end the run.
 */
export function observersOf(
  run: FollowedRun,
  { rank, size }: Pick<Ranks, 'rank' | 'size'> = ALONE,
): WindowObserver[] {
  const { settings, model, precision, islands } = run;
  const recorder =
    settings.recorder === null ? [] : [new RecorderObserver(settings.recorder, model, precision)];
  // It replays a batch on one rank, and synchronised statistics are made on all.
  const autopsy =
    settings.sync_bn && size > 1 ? [] : [new AutopsyObserver(run, { afterFirst: settings.autopsy })];
  // They only write and tell: of several ranks they follow the first.
  return [...(rank === 0 ? [...recorder, ...autopsy] : []), islands, ...scaleObservers(run)];
}
