import { readFile } from 'node:fs/promises';
import type { Command } from '../command.ts';

export const version: Command = {
  name: 'version',
  usage: ['mezzo version', 'mezzo --version'],
  about: 'Prints the version of Mezzo. What else is installed is shown by mezzo doctor.',
  examples: [['mezzo version --json', 'as JSON']],
  options: {},
  operands: false,
  run: async ({ json, terminal }) => {
    const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    terminal.print(json ? JSON.stringify({ version }) : `mezzo ${version}`);
    return 0;
  },
};
