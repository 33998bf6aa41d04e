import type { AutopsyReport, CureReport, FaultReport, FindingCode, OperandReport } from './report.ts';
import { ruleInWords } from './sentences.ts';
import { short } from './words.ts';

const TITLES: Readonly<Record<FindingCode, string>> = {
  finite: 'the replay is finite',
  'input-not-finite': 'the data holds an infinity or NaN',
  'state-not-finite': 'the model holds an infinity or NaN',
  'weight-beyond-range': 'a weight beyond the range of the precision',
  'weights-diverged': 'training has diverged',
  'scale-too-large': 'the loss scale is too large',
  'beyond-range': 'a value beyond the range of the precision',
  'undefined-value': 'an infinite or undefined value in any precision',
  'not-located': 'not finite, at no single operation',
};

const MARGIN = 10;
const MOST_OPERANDS = 4;

/** The report for a terminal, in lines of at most `width` characters where words allow it. */
export function autopsyText(report: AutopsyReport, width = 100): string {
  const { finding, text, precision, fault, cure, cures, replays, seconds } = report;
  const paragraph = (line: string, margin = 2) => wrap(line, width, margin);
  const lines = [
    `Autopsy: ${TITLES[finding]} (${finding})`,
    ...paragraph(text),
    '',
    ...(fault === null ? [] : faultRows(fault)),
    row('run', `${precision.dtype} on ${precision.device}, loss scale ${short(precision.scale)}`),
    '',
  ].flatMap((line) =>
    line.startsWith('  ') && line.length > width ? wrap(line.trim(), width, 2 + MARGIN, 2) : [line],
  );
  if (cure !== null) {
    lines.push(...wrap(`Cure: ${cure.text}${cure.note === undefined ? '' : ` (${cure.note})`}`, width, 6, 0));
    if (cure.how !== null) lines.push(`      ${cure.how}`);
    lines.push('');
  }
  if (cures.length > 1) {
    lines.push('Tried on this batch, cheapest first:');
    lines.push(...cures.flatMap((each) => wrap(outcome(each), width, 2 + MARGIN, 2)));
    lines.push('');
  }
  lines.push(
    `${replays} ${replays === 1 ? 'replay' : 'replays'}, ${seconds.toFixed(1)} s; the training state is untouched`,
  );
  return lines.join('\n');
}

const row = (name: string, value: string) => `  ${name.padEnd(MARGIN)}${value}`;

function faultRows({ layer, module, op, inner, phase, node, rule, inputs, output }: FaultReport): string[] {
  const detail = node ?? inner;
  const place =
    module === null
      ? `${layer ?? 'none'} (outside the model)`
      : `${layer === '' ? 'the model itself' : layer} (${module})`;
  return [
    row('layer', place),
    row('op', `${op}, ${phase}${detail === null ? '' : ` (${detail})`}`),
    row('dtype', `${output.dtype}, ${ruleInWords(rule)}`),
    ...inputs.slice(0, MOST_OPERANDS).map((input, i) => row(i === 0 ? 'read' : '', operand(input))),
    row('made', `${output.dtype} [${output.shape.join(', ')}]`),
  ];
}

const operand = ({ dtype, shape, largest }: OperandReport) =>
  `${dtype} [${shape.join(', ')}], ${largest === null ? 'not finite' : `largest ${short(largest)}`}`;

function outcome({ works, text, note }: CureReport): string {
  const verdict = works === null ? 'advice' : works ? 'works' : 'fails';
  return `${verdict.padEnd(MARGIN)}${text}${note === undefined ? '' : ` (${note})`}`;
}

/** Breaks at spaces; runs of spaces inside a line stay. */
function wrap(text: string, width: number, margin: number, first = margin): string[] {
  const lines: string[] = [];
  let line = ' '.repeat(first);
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = ' '.repeat(margin);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
