import { existsSync, readdirSync } from 'node:fs';

const CLONE = new URL('../../../../../', import.meta.url);
const SOURCES = new URL('examples/', CLONE);
const BUILT = new URL('examples/dist/', CLONE);

/** What an example tells about itself; the rest of its `lesson` is for the process that trains it. */
export interface Description {
  readonly about: string;
  readonly source: string;
  readonly measure: string;
  readonly goal: number;
  /** What one point of the measure is. */
  readonly points: number;
}

/** Examples that are whole programs: they run once and print for themselves. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  amp: 'A training loop in mixed precision, whole, on one page.',
  'train-detector': 'A detector from generated pictures to boxes in a few lines.',
};

/** The file that defines what a lesson is lies among the lessons. */
const NO_LESSON = new Set(['lesson', ...Object.keys(PROGRAMS)]);

/** The names of all lessons, sorted. Output whose source is gone does not count. */
export function lessonNames(): string[] {
  if (!existsSync(BUILT)) return [];
  return readdirSync(BUILT)
    .filter((file) => file.endsWith('.js'))
    .map((file) => file.slice(0, -'.js'.length))
    .filter((name) => !NO_LESSON.has(name) && existsSync(new URL(`${name}.ts`, SOURCES)))
    .sort();
}

/** Where the module of an example is. */
export const moduleOf = (name: string): string => new URL(`${name}.js`, BUILT).href;

/** What a lesson says of itself. Its file is loaded, LibTorch is not. */
export async function describeLesson(name: string): Promise<Description> {
  const { lesson } = (await import(moduleOf(name))) as { lesson: Description };
  const { about, source, measure, goal, points = 0.01 } = lesson as Partial<Description> & Description;
  return { about, source, measure, goal, points };
}
