import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { ReportComparison } from '../bench/compare.ts';
import type { BenchReport, BenchRow } from '../bench/report.ts';
import type { Suite } from '../bench/suite.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';
import { decimalBytes, general, share } from '../number-format.ts';
import type { Terminal } from '../terminal.ts';

const SUITES: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Suite> }>> = {
  overhead: {
    about: 'one boxed aten::add against torch.add in Python',
    load: async () => (await import('../bench/overhead.ts')).overhead,
  },
  step: {
    about: 'a training step of YOLOv8n, 320 px, batch 8: bf16 against fp32, and both against Python',
    load: async () => (await import('../bench/step.ts')).step,
  },
  epoch: {
    about: 'a training epoch, 320 px, batch 16: loader, training and validation; needs data=',
    load: async () => (await import('../bench/epoch.ts')).epochSuite,
  },
  loader: {
    about: 'the training loader, 640 px, batch 16, with and without RAM cache; needs data=',
    load: async () => (await import('../bench/loader.ts')).loader,
  },
  memory: {
    about:
      'peak memory of a step, 320 px, batch 8: bf16 against fp32, against Python, and growth over 200 steps',
    load: async () => (await import('../bench/memory.ts')).memorySuite,
  },
  infer: {
    about: 'one picture through the folded network, 640 px, by mode, and from file to boxes',
    load: async () => (await import('../bench/infer.ts')).infer,
  },
  startup: {
    about: 'from the start of mezzo train to its first step, 320 px, batch 16; needs data=',
    load: async () => (await import('../bench/startup.ts')).startup,
  },
  amp: {
    about: 'the cost of the transactional step and of naming culprits, in pairs with an upper bound',
    load: async () => (await import('../bench/amp.ts')).ampSuite,
  },
  gpu: {
    about: 'a CUDA device, 640 px, batch 16: AMP against fp32, batches in the same memory; epochs with data=',
    load: async () => (await import('../bench/gpu.ts')).gpu,
  },
};

const options = {
  out: {
    type: 'path',
    default: null,
    help: 'file for the JSON report, or a folder in which its name says date, machine and suite',
  },
  compare: { type: 'bool', default: false, help: 'compare two reports that are there instead of measuring' },
  peer: {
    type: 'path',
    default: null,
    help: 'Python of the peers; that of PEER_VENV unless given, else none',
  },
  rounds: { type: 'int', default: 7, range: [1, 1000], help: 'turns of A, B, A, B, …; medians are compared' },
  threads: { type: 'int', default: null, range: [1, 1024], help: 'compute threads; all cores unless given' },
  data: { type: 'path', default: null, help: 'a data.yaml, for suites that read pictures' },
  model: { type: 'text', default: 'yolov8n', help: 'a published model, for epoch, infer, startup and gpu' },
  imgsz: {
    type: 'int',
    default: null,
    range: [32, 4096],
    help: 'side of the images in pixels; as the suite has it unless given',
  },
  batch: {
    type: 'int',
    default: null,
    range: [1, 1024],
    help: 'images a step; as the suite has it unless given',
  },
  compile: {
    type: 'bool',
    default: false,
    help: 'step: also against torch.compile in Python, which compiles for minutes',
  },
} as const satisfies OptionTable;

export const bench: Command = {
  name: 'bench',
  usage: ['mezzo bench SUITE [option=value …]', 'mezzo bench --compare A.json B.json'],
  about: `Measures A and B in turns and compares their medians. Suites:\n${Object.entries(SUITES)
    .map(([name, { about }]) => `  ${name}: ${about}`)
    .join('\n')}`,
  examples: [
    ['mezzo bench step --out step.json', 'a training step; the report goes to a file too'],
    ['mezzo bench step out=bench/results', 'the report is named by date, machine and suite'],
    ['PEER_VENV=~/peers mezzo bench overhead', 'against the Python in that environment'],
    ['mezzo bench --compare before.json after.json', 'what has changed: after / before'],
  ],
  options,
  operands: 'a suite, or two reports',
  run: async ({ operands, assignments, json, terminal }) => {
    const settings = resolveTable(options, assignments);
    if (settings.compare) return compareFiles(operands, json, terminal);
    const [name, stray] = operands;
    const known = name === undefined ? undefined : suiteOf(name);
    if (name === undefined || known === undefined || stray !== undefined) {
      throw new UsageError('USAGE', `mezzo bench runs one suite: ${Object.keys(SUITES).join(', ')}`);
    }
    const { out, peer, threads, imgsz, batch, ...rest } = settings;
    const { reportTarget } = await import('../bench/report.ts');
    const target = out === null ? null : reportTarget(out);
    await prepareLibTorch(terminal);
    const { availableCores, discoverLibTorch, requireLibTorch } = await import('@mezzo/libtorch');
    const { machine } = await import('../bench/suite.ts');
    const suite = await known.load();
    const compute = threads ?? availableCores();
    const rows = await suite.run({
      ...rest,
      threads: compute,
      imgsz: imgsz ?? suite.size.imgsz,
      batch: batch ?? suite.size.batch,
      peerPython: peer ?? peerOf(process.env.PEER_VENV),
      note: terminal.note,
    });
    const { version } = requireLibTorch(discoverLibTorch());
    const report: BenchReport = {
      suite: name,
      machine: machine(version, compute),
      date: new Date().toISOString(),
      rows,
    };
    if (target !== null) {
      const { writeFile } = await import('node:fs/promises');
      const file = target(report);
      await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
      terminal.note(`report: ${file}`);
    }
    if (json) terminal.print(JSON.stringify(report));
    else for (const line of rowLines(rows)) terminal.print(line);
    return 0;
  },
};

const suiteOf = (name: string) => (Object.hasOwn(SUITES, name) ? SUITES[name] : undefined);

function rowLines(rows: readonly BenchRow[]): string[] {
  const width = Math.max(0, ...rows.map((row) => row.name.length));
  return rows.map(({ name, a, b, unit, ratio, spread, upper }) => {
    const side = (value: number, part = 0) =>
      `${amount(value, unit)}${part > 0 ? ` ±${share(part / 2)}` : ''}`;
    const bound = upper === undefined ? '' : `, at most ${general(upper, 4)} (95 %)`;
    const sides = `${side(a, spread?.a)} / ${side(b, spread?.b)}${inBytes(unit) ? '' : ` ${unit}`}`;
    return `${name.padEnd(width)}  ${sides} = ${general(ratio, 4)}${bound}`;
  });
}

const inBytes = (unit: string): boolean => unit.startsWith('bytes');

const amount = (value: number, unit: string): string =>
  inBytes(unit) ? decimalBytes(value) : general(value);

async function compareFiles(files: readonly string[], json: boolean, terminal: Terminal): Promise<number> {
  const [first, second, stray] = files;
  if (first === undefined || second === undefined || stray !== undefined) {
    throw new UsageError(
      'USAGE',
      'mezzo bench --compare takes two reports',
      'mezzo bench --compare A.json B.json',
    );
  }
  const { readReport } = await import('../bench/report.ts');
  const { compareReports } = await import('../bench/compare.ts');
  const comparison = compareReports(readReport(first), readReport(second));
  if (json) terminal.print(JSON.stringify(comparison));
  else for (const line of comparisonLines(comparison)) terminal.print(line);
  return 0;
}

function comparisonLines({ suite, dates, machine, rows, only }: ReportComparison): string[] {
  const width = Math.max(0, ...rows.map((row) => row.name.length));
  const shown = (name: string, value: string | number | null) =>
    value === null ? 'none' : name === 'memory' ? decimalBytes(Number(value)) : String(value);
  return [
    `${suite}: ${dates.second} / ${dates.first}`,
    ...machine.map(
      ({ name, first, second }) => `other ${name}: ${shown(name, second)} instead of ${shown(name, first)}`,
    ),
    ...rows.map(
      ({ name, a, b, ratio }) =>
        `${name.padEnd(width)}  a ${general(a, 4)}  b ${general(b, 4)}  a/b ${general(ratio, 4)}`,
    ),
    ...(['first', 'second'] as const).flatMap((side) =>
      only[side].map((name) => `only in the ${side}: ${name}`),
    ),
  ];
}

function peerOf(environment: string | undefined): string | null {
  if (!environment) return null;
  const python = join(environment, 'bin', 'python');
  return existsSync(python) ? python : null;
}
