import { defaultText, placeholder } from './help.ts';
import { COMMANDS, type Option, type OptionTable } from './option.ts';
import { appliesTo, GROUPS } from './options.ts';
import { fileOptions } from './table/files.ts';
import { kindsOf, show } from './value.ts';

const INTRODUCTION = `# Options

One table makes the command line, the keys of YAML files, the TypeScript types, \`mezzo COMMAND --help\` and this page.
Names, defaults and meanings are those of Ultralytics wherever Ultralytics has the option.

- On the command line an option is written \`imgsz=640\`, \`--imgsz 640\` or \`--imgsz=640\`; a dash equals an underscore,
  blanks around \`=\` and a comma at the end do not matter, and a yes-or-no option may stand alone (\`--cos-lr\`).
- \`cfg=FILE\` reads options from YAML, for example the \`args.yaml\` of an earlier run. The command line wins over it.
- In TypeScript the same names are the keys of \`model.train({ … })\`, \`model.val({ … })\` and \`model.predict(source, { … })\`.
- \`none\` (\`null\`) stands for the default. An unknown name is an error that offers the nearest one.
- A default such as \`16 (8.4) or 0 (8.3)\` depends on \`recipe\`.`;

const FOREIGN = `These options of Ultralytics and YOLOv5 are accepted at the value shown, so that any \`args.yaml\` works,
and refused otherwise, because nothing here would obey them.`;

/** The page `docs/configuration.md`. */
export function configurationReference(): string {
  const groups = [{ title: 'Files of options', options: fileOptions as OptionTable }, ...GROUPS];
  const sections = groups.flatMap(({ title, options }) => {
    const rows = Object.entries(options).filter(([, option]) => option.refused === undefined);
    if (rows.length === 0) return [];
    return [
      `## ${title}\n\n${table(['option', 'values', 'default', 'commands', 'meaning'], rows.map(optionRow))}`,
    ];
  });
  const refused = groups.flatMap(({ options }) =>
    Object.entries(options).filter(([, option]) => option.refused !== undefined),
  );
  const foreign = refused.map(([name, option]) => [
    code(name),
    [option.default, ...(option.same ?? [])].map((value) => code(show(value))).join(', '),
    option.refused!,
  ]);
  sections.push(
    `## Accepted at their defaults\n\n${FOREIGN}\n\n${table(['option', 'accepted', 'why not more'], foreign)}`,
  );
  return `${[INTRODUCTION, ...sections].join('\n\n')}\n`;
}

function optionRow([name, option]: [string, Option]): string[] {
  const others = [...(option.aliases ?? []), ...(option.negations ?? []).map((word) => `${word} (= false)`)];
  const commands = COMMANDS.filter((command) => appliesTo(option, command)).map((command) => {
    const own = option.defaults?.[command];
    return own === undefined ? command : `${command} (${show(own)})`;
  });
  return [
    code(name) + (others.length === 0 ? '' : `, also ${others.map(spelled).join(', ')}`),
    values(option),
    option.default === null && option.recipe === undefined ? '' : code(defaultText(option)),
    commands.join(', '),
    option.help,
  ];
}

function values(option: Option): string {
  const { range, above } = option;
  const kinds = kindsOf(option).length === 1 && option.type === 'bool' ? 'true|false' : placeholder(option);
  const top = range === undefined || range[1] >= Number.MAX_SAFE_INTEGER ? '' : ` ≤ ${range[1]}`;
  const bottom = above !== undefined ? ` > ${above}` : range === undefined ? '' : ` ≥ ${range[0]}`;
  return (
    code(kinds) + (bottom === '' && top === '' ? '' : [bottom, top].filter((part) => part !== '').join(','))
  );
}

function spelled(word: string): string {
  const [name = '', ...rest] = word.split(' ');
  return [code(name), ...rest].join(' ');
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
