import { AutopsyObserver } from '../precision/autopsy-observer.ts';
import { RecorderObserver } from '../precision/recorder.ts';
import { scaleObservers } from './computed-scale.ts';
import type { FollowedRun } from './run.ts';
import type { WindowObserver } from './window-observer.ts';

/**
 * Those who follow a run window by window. The autopsy comes before the islands, which may change what it would look
 * at; the loss scale comes last, because it may end the run.
 */
export function observersOf(run: FollowedRun): WindowObserver[] {
  const { settings, model, precision, islands } = run;
  return [
    ...(settings.recorder === null ? [] : [new RecorderObserver(settings.recorder, model, precision)]),
    new AutopsyObserver(run, { afterFirst: settings.autopsy }),
    islands,
    ...scaleObservers(run),
  ];
}
