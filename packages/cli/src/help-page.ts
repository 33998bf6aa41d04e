import type { HelpGroup, HelpLine } from '@mezzo/detect/config';
import { CATALOGUE } from './catalogue.ts';
import { type Command, EVERYWHERE } from './command.ts';
import type { Terminal } from './terminal.ts';

const INTRODUCTION = 'Mezzo trains object detectors in mixed precision from Node, on LibTorch.';

const EXAMPLES = [
  ['mezzo demo', 'the whole story on generated pictures'],
  ['mezzo train model=yolov8n data=data.yaml epochs=100 imgsz=640', 'train from scratch'],
  ['mezzo val model=runs/detect/train/weights/best.safetensors', 'measure'],
  ['mezzo predict model=runs/detect/train/weights/best.safetensors source=pictures', 'use'],
] as const;

/** The page of `mezzo --help`. */
export function programHelp({ bold, dim }: Terminal): string {
  const width = Math.max(...CATALOGUE.map(({ name }) => name.length));
  return [
    INTRODUCTION,
    '',
    bold('Usage'),
    '  mezzo COMMAND [option=value …]',
    '',
    bold('Commands'),
    ...CATALOGUE.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    bold('Examples'),
    ...EXAMPLES.flatMap(([line, meaning]) => [`  ${line}`, `      ${dim(meaning)}`]),
    '',
    'mezzo COMMAND --help shows the options of a command. Options may be written',
    'imgsz=640, --imgsz 640 or --imgsz=640; a dash equals an underscore.',
  ].join('\n');
}

/** The page of `mezzo COMMAND --help`, made from the option table. */
export async function helpOf(command: Command, terminal: Terminal): Promise<string> {
  const { bold, dim, columns } = terminal;
  const { helpGroups, helpLine } = await import('@mezzo/detect/config');
  const ownLines = (table: Command['options']) =>
    Object.entries(table).map(([name, option]) => helpLine(name, option));
  const groups: HelpGroup[] =
    command.detector !== undefined
      ? helpGroups(command.detector)
      : [{ title: 'Options', lines: ownLines(command.options) }].filter(({ lines }) => lines.length > 0);
  groups.push({ title: 'Every command', lines: ownLines(EVERYWHERE) });
  const width = Math.min(Math.max(columns, 60), 120);
  return [
    bold('Usage'),
    ...command.usage.map((line) => `  ${line}`),
    '',
    ...wrap(command.about, width),
    '',
    bold('Examples'),
    ...command.examples.flatMap(([line, meaning]) => [`  ${line}`, `      ${dim(meaning)}`]),
    ...groups.flatMap(({ title, lines }) => [
      '',
      bold(title),
      ...lines.flatMap((line) => optionLines(line, width)),
    ]),
  ].join('\n');
}

function optionLines({ name, value, help, default: initial, spellings }: HelpLine, width: number): string[] {
  const indent = 24;
  const head = `  ${name}${value === '' ? '' : `=${value}`}`;
  const text = help + (initial === '' ? '' : ` [${initial}]`) + (spellings === '' ? '' : ` (${spellings})`);
  const [first = '', ...more] = wrap(text, width - indent);
  const rest = more.map((line) => ' '.repeat(indent) + line);
  if (head.length < indent) return [head.padEnd(indent) + first, ...rest];
  return [head, ' '.repeat(indent) + first, ...rest];
}

function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else {
        line = line === '' ? word : `${line} ${word}`;
      }
    }
    return [...lines, line];
  });
}
