import { type OptionTable, resolveTable } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { prepareLibTorch } from '../libtorch-setup.ts';
import type { Terminal } from '../terminal.ts';
import { findTestFiles } from '../test-runner/files.ts';
import { type FileResult, runTestFile } from '../test-runner/run-file.ts';

const options = {
  long: { type: 'bool', default: false, help: 'the campaigns too' },
} as const satisfies OptionTable;

export const test: Command = {
  name: 'test',
  usage: ['mezzo test [--long] [FILTER …]'],
  about:
    'Runs every test that a change must pass, one file at a time. A filter is a part of a package and file name. ' +
    'Failures are shown in full at the end; the last line counts. Exit code 1 if a test failed.',
  examples: [
    ['mezzo test', 'everything but the campaigns'],
    ['mezzo test torch/scope cli', 'some files'],
  ],
  options,
  operands: 'parts of file names',
  run: async ({ operands, assignments, json, terminal }) => {
    const { long } = resolveTable(options, assignments);
    const files = await findTestFiles(operands, long);
    if (files.length === 0) {
      const hint =
        'tests are run from a clone of the repository; filters are parts of names such as torch/scope';
      throw new UsageError('USAGE', `no test file matches ${operands.join(' ') || '(all)'}`, hint);
    }
    await prepareLibTorch(terminal);
    const controller = new AbortController();
    const stop = () => controller.abort();
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    const results: FileResult[] = [];
    const width = Math.max(...files.map(({ name }) => name.length));
    try {
      for (const [index, file] of files.entries()) {
        terminal.status(`${index + 1}/${files.length} ${file.name}`);
        const result = await runTestFile(file, controller.signal);
        results.push(result);
        if (!json) terminal.print(fileLine(result, width, terminal));
      }
    } catch (error) {
      if (controller.signal.aborted) return 130;
      throw error;
    } finally {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    }
    const count = (outcome: string) =>
      results.flatMap(({ tests }) => tests).filter((line) => line.outcome === outcome).length;
    const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')];
    if (json) {
      const rows = results.map(({ file, seconds, tests }) => ({ file: file.name, seconds, tests }));
      terminal.print(JSON.stringify({ passed, failed, skipped, files: rows }));
    } else {
      for (const line of results.flatMap((result) => failureLines(result, terminal))) terminal.print(line);
      terminal.print(`\n${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
    }
    return failed === 0 ? 0 : 1;
  },
};

function fileLine(
  { file, seconds, tests }: FileResult,
  width: number,
  { green, red, dim }: Terminal,
): string {
  const failed = tests.filter(({ outcome }) => outcome === 'failed').length;
  const passed = tests.filter(({ outcome }) => outcome === 'passed').length;
  const skipped = tests.length - failed - passed;
  const mark = failed > 0 ? red('✗') : green('✓');
  const parts = [`${passed} passed`, ...(failed > 0 ? [red(`${failed} failed`)] : [])];
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return `${mark} ${file.name.padEnd(width)} ${dim(`${seconds.toFixed(1)} s`.padStart(8))}  ${parts.join(', ')}`;
}

function failureLines({ file, tests, output }: FileResult, { bold, red }: Terminal): string[] {
  const failed = tests.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0) return [];
  const shown = failed.flatMap(({ name, text }) => [
    '',
    `${red('✗')} ${bold(`${file.name}: ${name}`)}`,
    text ?? '',
  ]);
  return output.trim() === '' ? shown : [...shown, '', `Output of ${file.name}:`, output.trimEnd()];
}
