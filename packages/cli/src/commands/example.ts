import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { didYouMean } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';

const FOLDER = new URL('../../../../../examples/dist/', import.meta.url);

function names(): string[] {
  if (!existsSync(FOLDER)) return [];
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.js'));
  return files.map((file) => file.slice(0, -3)).sort();
}

export const example: Command = {
  name: 'example',
  usage: ['mezzo example NAME'],
  about:
    'Runs a program of examples/, which is meant to be read: its source is the lesson, its output the proof.',
  examples: [
    ['mezzo example amp', 'a training loop in mixed precision, whole'],
    ['mezzo example train-detector', 'from generated pictures to boxes, two minutes'],
  ],
  options: {},
  operands: 'the name of an example',
  run: async ({ operands, terminal }) => {
    const [name, stray] = operands;
    const known = names();
    if (name === undefined || stray !== undefined || !known.includes(name)) {
      const unknown = stray ?? name;
      const problem =
        unknown === undefined
          ? 'which example?'
          : `there is no example '${unknown}'${didYouMean(unknown, known)}`;
      throw new UsageError('USAGE', problem, `examples: ${known.join(', ')}`);
    }
    await prepareLibTorch(terminal);
    await import(pathToFileURL(fileURLToPath(new URL(`${name}.js`, FOLDER))).href);
    return 0;
  },
};
