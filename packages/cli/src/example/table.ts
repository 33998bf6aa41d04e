import { clock, decimalBytes, general } from '../number-format.ts';
import type { Terminal } from '../terminal.ts';
import { ALLOWED_GAP, type Comparison, type Side } from './comparison.ts';

const SHORT: Readonly<Record<string, string>> = { float32: 'fp32', bfloat16: 'bf16', float16: 'fp16' };

const WIDTH = 14;

/** The numbers of one example, fp32 and mixed precision side by side, and the verdict. */
export function comparisonLines(comparison: Comparison, terminal: Terminal): string[] {
  const { about, source, measure, fp32, amp, points } = comparison;
  const sides = [fp32, amp];
  const show = (value: number) => (points < 0.1 ? value.toFixed(3) : value.toFixed(1));
  const rows = [
    ['', ...sides.map(({ dtype }) => SHORT[dtype] ?? dtype)],
    [`${measure}, untrained`, ...sides.map(({ untrained }) => show(untrained))],
    [`${measure}, trained`, ...sides.map(({ trained }) => show(trained))],
    ...fp32.trainings.map(({ seed }, i) => [
      `  seed ${seed}`,
      ...sides.map(({ trainings }) => show(trainings[i]!.trained)),
    ]),
    ['time', ...sides.map(({ seconds }) => `${seconds.toFixed(1)} s`), ratio(amp.seconds, fp32.seconds)],
    [
      'peak memory',
      ...sides.map(({ peakBytes }) => decimalBytes(peakBytes)),
      ratio(amp.peakBytes, fp32.peakBytes),
    ],
    ...detailNames(sides).map((name) => [name, ...sides.map((side) => general(detail(side, name)))]),
  ];
  const head = Math.max(...rows.map(([title = '']) => title.length)) + 2;
  const table = rows.map(([title = '', ...cells]) =>
    `${title.padEnd(head)}${cells.map((cell) => cell.padStart(WIDTH)).join('')}`.trimEnd(),
  );
  return [about, terminal.dim(source), '', ...table, '', verdict(comparison, terminal)];
}

const ratio = (part: number, whole: number) => `${(part / whole).toFixed(2)}x`;

const detailNames = ([fp32]: readonly Side[]) => Object.keys(fp32?.trainings[0]?.details ?? {});

const detail = ({ trainings }: Side, name: string) =>
  trainings.reduce((sum, { details }) => sum + (details[name] ?? Number.NaN), 0) / trainings.length;

function verdict({ passed, reached, goal, gap, measure }: Comparison, { green, red }: Terminal): string {
  const least = `${measure} of at least ${goal} in every run`;
  const distance = `${gap.toFixed(1)} points apart`;
  if (passed) return `${green('passed')}: ${least}, ${distance}`;
  if (!reached) return `${red('missed')}: ${least}`;
  return `${red('missed')}: ${distance}, and ${ALLOWED_GAP} are allowed`;
}

/** One line an example. */
export function summaryLines(comparisons: readonly Comparison[], { green, red }: Terminal): string[] {
  const width = Math.max(...comparisons.map(({ name }) => name.length));
  return comparisons.map(({ name, measure, fp32, amp, gap, passed }) => {
    const digits = Math.abs(fp32.trained) < 10 ? 3 : 1;
    const [a, b] = [fp32, amp].map(({ dtype, trained }) => `${SHORT[dtype]} ${trained.toFixed(digits)}`);
    const took = clock(
      [fp32, amp].flatMap(({ trainings }) => trainings).reduce((sum, { seconds }) => sum + seconds, 0),
    );
    const mark = passed ? green('✓') : red('✗');
    return `${mark} ${name.padEnd(width)}  ${measure}: ${a}, ${b}, ${gap.toFixed(1)} points apart, ${took}`;
  });
}
