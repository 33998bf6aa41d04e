import type { Lesson } from '../lesson.ts';

/** What becomes of the others when a lesson throws is tested with it. */
export const lesson: Lesson = {
  about: 'A lesson with a mistake.',
  source: 'none',
  measure: 'accuracy',
  goal: 1,
  train: () => {
    throw new Error('the pictures are gone');
  },
};
