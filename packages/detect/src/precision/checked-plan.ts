import { uniformPlan, withRules } from '@mezzo/precision';
import type { TrainEvent } from '../engine/event.ts';
import { checkBeforeTraining, type TrainingToCheck } from './check-before-training.ts';
import type { PlannedPrecision } from './plan.ts';

/**
 * The precision that a training is to have after its check: as planned, with the islands that make it sound, or
 * float32. Says which, and why.
 */
export async function checkedPlan(
  planned: PlannedPrecision,
  training: Omit<TrainingToCheck, 'precision' | 'plan'>,
  emit: (event: TrainEvent) => void,
): Promise<PlannedPrecision> {
  const { dtype } = planned.precision;
  const batch = `a batch of ${training.batch} pictures`;
  emit({
    event: 'message',
    level: 'info',
    text: `AMP: checking ${dtype} on ${batch} (check=false leaves it out)`,
  });
  const { precision, plan, level, text } = await checkBeforeTraining({ ...training, ...planned });
  emit({ event: 'message', level, text });
  if (!precision.enabled) return { precision, plan: uniformPlan('float32'), heals: false };
  return plan === null ? planned : { ...planned, plan: withRules(planned.plan, plan.rules) };
}
