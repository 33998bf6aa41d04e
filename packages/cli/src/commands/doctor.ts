import type { DoctorReport } from '@mezzo/libtorch';
import type { Command } from '../command.ts';
import { decimalBytes } from '../number-format.ts';
import type { Terminal } from '../terminal.ts';

export const doctor: Command = {
  name: 'doctor',
  usage: ['mezzo doctor [--json]'],
  about:
    'Shows Node, the compiler, LibTorch (version, origin, what it can do), the CPU, the GPUs, and what training ' +
    'will use. Every problem comes with its fix and with what is used meanwhile. Exit code 0 if there is no problem.',
  examples: [
    ['mezzo doctor', 'for reading'],
    ['mezzo doctor --json', 'for programs'],
  ],
  options: {},
  operands: false,
  run: async ({ json, terminal }) => {
    const { diagnose, probeMachine } = await import('@mezzo/libtorch');
    const report = diagnose(probeMachine());
    if (json) terminal.print(JSON.stringify(report));
    else for (const line of doctorLines(report, terminal)) terminal.print(line);
    return report.ok ? 0 : 1;
  },
};

/** The report as lines of text. */
export function doctorLines(
  report: DoctorReport,
  { bold, green, red, yellow }: Pick<Terminal, 'bold' | 'green' | 'red' | 'yellow'>,
): string[] {
  const { libtorch, cpu, gpus, compiler, python, platform, memory, problems } = report;
  const rows: [name: string, text: string][] = [
    ['System', `${platform.os} ${platform.arch}${platform.glibc === null ? '' : `, ${platform.glibc}`}`],
    ['Node', report.node],
    ['Compiler', compiler?.version ?? 'none'],
    ['Python', pythonText(python)],
    ['LibTorch', libtorch === null ? 'none' : `${libtorch.version} in ${libtorch.path} (${libtorch.reason})`],
    ['Addon', report.addon ?? 'not compiled yet'],
    ['CPU', `${cpu.model}, ${cpu.cores} ${cpu.cores === 1 ? 'core' : 'cores'}`],
    ['', `bf16 ${yesNo(cpu.bf16)}, fp16 ${yesNo(cpu.fp16)} (${cpu.because})`],
    ...(cpu.capability === null
      ? []
      : [['', `LibTorch's code for ${cpu.capability}, ${cpu.threads} threads`] as [string, string]]),
    ['Memory', `${decimalBytes(memory.total)}, ${decimalBytes(memory.available)} free`],
    ...gpuRows(gpus),
    ['Folder', report.home],
    ['Device', report.device],
    ['AMP', `${report.amp.default} by default: ${report.amp.reason}`],
  ];
  const lines = rows.map(([name, text]) => `${bold(name.padEnd(10))} ${text}`);
  if (problems.length === 0) return [...lines, '', green('No problems.')];
  const found = problems.flatMap(({ code, message, fix }) => [
    '',
    `${red('problem')} ${message} ${`[${code}]`}`,
    `${yellow('fix')}     ${fix}`,
  ]);
  return [...lines, ...found];
}

function gpuRows(gpus: DoctorReport['gpus']): [string, string][] {
  if (gpus.length === 0) return [['GPU', 'none']];
  return gpus.map((gpu, index) => {
    const parts = [
      gpu.name,
      `capability ${gpu.capability ?? 'unknown'}`,
      decimalBytes(gpu.memory),
      `driver ${gpu.driver}`,
      gpu.usable ? 'usable' : `not used (${gpu.obstacle})`,
    ];
    return [index === 0 ? 'GPU' : '', parts.join(', ')];
  });
}

function pythonText({ command, version, pip }: DoctorReport['python']): string {
  if (version === null) return `none (${command})`;
  return `${version}, ${pip === null ? 'without pip' : pip.replace(/ from .*/, '')}`;
}

function yesNo(native: boolean): string {
  return native ? 'native' : 'not native';
}
