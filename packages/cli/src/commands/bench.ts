import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { BenchReport, Suite } from '../bench/suite.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';
import { general } from '../number-format.ts';

const SUITES: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Suite> }>> = {
  overhead: {
    about: 'one boxed aten::add against torch.add in Python',
    load: async () => (await import('../bench/overhead.ts')).overhead,
  },
  loader: {
    about: 'the training loader, images per second, against the reference; needs data=',
    load: async () => (await import('../bench/loader.ts')).loader,
  },
  step: {
    about: 'a training step of YOLOv8n: bf16 against fp32, and both against Python',
    load: async () => (await import('../bench/step.ts')).step,
  },
  amp: {
    about: 'the cost of the transactional step and of naming culprits, in pairs with an upper bound',
    load: async () => (await import('../bench/amp.ts')).ampSuite,
  },
  memory: {
    about: 'peak tensor bytes of a bf16 step against fp32, and growth over 200 steps',
    load: async () => (await import('../bench/memory.ts')).memorySuite,
  },
};

const options = {
  out: { type: 'path', default: null, help: 'file for the JSON report' },
  peer: {
    type: 'path',
    default: null,
    help: 'Python of the peers; that of PEER_VENV unless given, else none',
  },
  rounds: { type: 'int', default: 7, range: [1, 1000], help: 'turns of A, B, A, B, …; medians are compared' },
  threads: { type: 'int', default: null, range: [1, 1024], help: 'compute threads; all cores unless given' },
  data: { type: 'path', default: null, help: 'a data.yaml, for suites that read pictures' },
  imgsz: { type: 'int', default: 320, range: [32, 4096], help: 'side of the images in pixels' },
  batch: { type: 'int', default: 8, range: [1, 1024], help: 'images a step' },
} as const satisfies OptionTable;

export const bench: Command = {
  name: 'bench',
  usage: ['mezzo bench SUITE [option=value …]'],
  about: `Measures A and B in turns and compares their medians. Suites:\n${Object.entries(SUITES)
    .map(([name, { about }]) => `  ${name}: ${about}`)
    .join('\n')}`,
  examples: [
    ['mezzo bench step --out step.json', 'a training step; the report goes to a file too'],
    ['PEER_VENV=~/peers mezzo bench overhead', 'against the Python in that environment'],
  ],
  options,
  operands: 'a suite',
  run: async ({ operands, assignments, json, terminal }) => {
    const { out, peer, threads, ...rest } = resolveTable(options, assignments);
    const [name, stray] = operands;
    const known = name === undefined ? undefined : SUITES[name];
    if (name === undefined || known === undefined || stray !== undefined) {
      throw new UsageError('USAGE', `mezzo bench runs one suite: ${Object.keys(SUITES).join(', ')}`);
    }
    await prepareLibTorch(terminal);
    const { availableCores, discoverLibTorch, requireLibTorch } = await import('@mezzo/libtorch');
    const { machine } = await import('../bench/suite.ts');
    const suite = await known.load();
    const compute = threads ?? availableCores();
    const settings = { ...rest, threads: compute, peerPython: peer ?? peerOf(process.env.PEER_VENV) };
    const rows = await suite.run({ ...settings, note: terminal.note });
    const { version } = requireLibTorch(discoverLibTorch());
    const report: BenchReport = {
      suite: name,
      machine: machine(version, compute),
      date: new Date().toISOString(),
      rows,
    };
    if (out !== null) {
      const { writeFile } = await import('node:fs/promises');
      await writeFile(out, `${JSON.stringify(report, null, 2)}\n`);
    }
    if (json) {
      terminal.print(JSON.stringify(report));
      return 0;
    }
    const width = Math.max(...rows.map((row) => row.name.length));
    for (const row of rows) {
      const upper = row.upper === undefined ? '' : `, at most ${general(row.upper, 4)} (95 %)`;
      terminal.print(
        `${row.name.padEnd(width)}  ${general(row.a)} / ${general(row.b)} ${row.unit} = ${general(row.ratio, 4)}${upper}`,
      );
    }
    return 0;
  },
};

function peerOf(environment: string | undefined): string | null {
  if (!environment) return null;
  const python = join(environment, 'bin', 'python');
  return existsSync(python) ? python : null;
}
