import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { carryOut } from '../libtorch-setup.ts';

const options = {
  version: {
    type: 'choice',
    default: null,
    choices: ['2.15.0', '2.10.0'],
    help: 'the LibTorch to install instead of the one that fits this machine',
  },
  variant: {
    type: 'choice',
    default: null,
    choices: ['cpu', 'cuda'],
    help: 'the set to install instead of the one that fits this machine',
  },
  force: { type: 'bool', default: false, help: 'install and compile again what is there already' },
} as const satisfies OptionTable;

export const setup: Command = {
  name: 'setup',
  usage: ['mezzo setup [version=…] [variant=cpu|cuda] [--force]'],
  about:
    'Installs LibTorch and compiles the addon, where they are missing. LibTorch comes as pinned, hashed wheels ' +
    "through pip into the user's cache folder (MEZZO_HOME moves it), once for all projects. Before anything is " +
    'fetched, what it is, how large it is and where it goes is said.',
  examples: [
    ['mezzo setup', 'whatever this machine needs'],
    ['mezzo setup variant=cpu', 'the CPU set, also where there is a GPU'],
  ],
  options,
  operands: false,
  run: async ({ assignments, json, terminal }) => {
    const { version, variant, force } = resolveTable(options, assignments);
    const { discoverLibTorch, planSetup, requireLibTorch } = await import('@mezzo/libtorch');
    const wanted = { version: version ?? undefined, variant: variant ?? undefined, force };
    const addon = await carryOut(planSetup(wanted), wanted, terminal);
    const libtorch = requireLibTorch(discoverLibTorch());
    if (json) {
      terminal.print(JSON.stringify({ libtorch, addon }));
      return 0;
    }
    terminal.print(`LibTorch ${libtorch.version} in ${libtorch.path}`);
    terminal.print(`Addon ${addon}`);
    return 0;
  },
};
