import { didYouMean, resolveTable } from '@mezzo/detect/config';
import type { Call, Command } from '../command.ts';
import { describeLesson, lessonNames, moduleOf, PROGRAMS } from '../example/lessons.ts';
import { exampleOptions } from '../example/options.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';

/** A word in the place of a name: every lesson. */
const ALL = 'all';

export const example: Command = {
  name: 'example',
  usage: ['mezzo example', 'mezzo example NAME [option=value …]', 'mezzo example all [option=value …]'],
  about:
    'Runs a program of examples/, which is meant to be read: its source is the lesson, its output the proof. ' +
    'A lesson is trained in fp32 and in mixed precision, with two seeds each, in processes of their own; ' +
    'its measure before and after training, time and memory are printed. Exit code 1 if a run misses the goal ' +
    'of its lesson, or if the means lie more than two points apart. Without a name: lists the examples.',
  examples: [
    ['mezzo example', 'what there is'],
    ['mezzo example resnet18', 'a lesson, in fp32 and mixed precision'],
    ['mezzo example all --json --out examples.json', 'every lesson, one document'],
    ['mezzo example amp', 'a training loop in mixed precision, whole'],
  ],
  options: exampleOptions,
  operands: 'the name of an example',
  run: async (call) => {
    const [name, stray] = call.operands;
    if (name === undefined) return list(call);
    const lessons = lessonNames();
    const known = [...Object.keys(PROGRAMS), ...lessons];
    if (stray !== undefined || ![ALL, ...known].includes(name)) {
      const unknown = stray ?? name;
      throw new UsageError(
        'USAGE',
        `there is no example '${unknown}'${didYouMean(unknown, known)}`,
        'mezzo example lists them',
      );
    }
    if (Object.hasOwn(PROGRAMS, name)) return runProgram(name, call);
    const settings = resolveTable(exampleOptions, call.assignments);
    await prepareLibTorch(call.terminal);
    const { runLessons } = await import('../example/run-lessons.ts');
    return runLessons(name === ALL ? lessons : [name], settings, call);
  },
};

async function list({ json, terminal }: Call): Promise<number> {
  const lessons = await Promise.all(
    lessonNames().map(async (name) => ({ name, ...(await describeLesson(name)) })),
  );
  const programs = Object.entries(PROGRAMS).map(([name, about]) => ({ name, about }));
  if (json) {
    terminal.print(JSON.stringify({ programs, lessons }));
    return 0;
  }
  const width = Math.max(...[...programs, ...lessons].map(({ name }) => name.length)) + 2;
  const line = ({ name, about }: { name: string; about: string }) =>
    terminal.print(`  ${terminal.bold(name.padEnd(width))}${about}`);
  terminal.print('Programs, which print for themselves:');
  programs.forEach(line);
  terminal.print('\nLessons, which are trained in fp32 and in mixed precision and compared:');
  lessons.forEach(line);
  terminal.print(
    '\nmezzo example NAME runs one, mezzo example all every lesson; the sources are in examples/.',
  );
  return 0;
}

async function runProgram(name: string, { assignments, json, terminal }: Call): Promise<number> {
  if (assignments.length > 0 || json) {
    const word = assignments[0]?.name ?? 'json';
    throw new UsageError('USAGE', `the example ${name} is a whole program and has no option ${word}`);
  }
  await prepareLibTorch(terminal);
  await import(moduleOf(name));
  return 0;
}
