import type { Description } from './lessons.ts';
import type { Training } from './training.ts';

/** Points that the means of fp32 and mixed precision may lie apart. */
export const ALLOWED_GAP = 2;

/** The trainings of one precision, one a seed, and their means. */
export interface Side {
  readonly dtype: string;
  readonly untrained: number;
  readonly trained: number;
  readonly seconds: number;
  readonly peakBytes: number;
  readonly trainings: readonly Training[];
}

/** A lesson in fp32 and in mixed precision. */
export interface Comparison extends Description {
  readonly name: string;
  readonly fp32: Side;
  readonly amp: Side;
  /** Points between the means of `trained`. */
  readonly gap: number;
  /** Whether every training reached the goal. */
  readonly reached: boolean;
  /** Whether the goal was reached and the gap is at most `ALLOWED_GAP`. */
  readonly passed: boolean;
}

export function sideOf(dtype: string, trainings: readonly Training[]): Side {
  const mean = (of: (training: Training) => number) =>
    trainings.reduce((sum, training) => sum + of(training), 0) / trainings.length;
  return {
    dtype,
    untrained: mean(({ untrained }) => untrained),
    trained: mean(({ trained }) => trained),
    seconds: mean(({ seconds }) => seconds),
    peakBytes: mean(({ peakBytes }) => peakBytes),
    trainings,
  };
}

export function compare(name: string, description: Description, fp32: Side, amp: Side): Comparison {
  const { goal, points } = description;
  const gap = Math.abs(fp32.trained - amp.trained) / points;
  // A result that is no number reaches nothing.
  const reached = [...fp32.trainings, ...amp.trainings].every(({ trained }) => trained >= goal);
  return { name, ...description, fp32, amp, gap, reached, passed: reached && gap <= ALLOWED_GAP };
}
