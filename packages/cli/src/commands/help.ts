import { CATALOGUE } from '../catalogue.ts';
import type { Command } from '../command.ts';
import { helpOf, programHelp } from '../help-page.ts';

export const help: Command = {
  name: 'help',
  usage: ['mezzo help [COMMAND]', 'mezzo COMMAND --help'],
  about: 'Shows the list of commands, or the options and examples of one.',
  examples: [['mezzo help train', 'the options of training']],
  options: {},
  operands: 'commands',
  run: async ({ operands, json, terminal }) => {
    const [name] = operands;
    if (name === undefined) {
      const commands = CATALOGUE.map(({ name, summary }) => ({ name, summary }));
      terminal.print(json ? JSON.stringify({ commands }) : programHelp(terminal));
      return 0;
    }
    const entry = CATALOGUE.find((known) => known.name === name);
    if (entry === undefined) {
      const { UsageError } = await import('../failure.ts');
      throw new UsageError('UNKNOWN_COMMAND', `unknown command '${name}'`, 'mezzo --help lists the commands');
    }
    terminal.print(await helpOf(await entry.load(), terminal));
    return 0;
  },
};
