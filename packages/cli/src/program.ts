import { ABSENT, CATALOGUE } from './catalogue.ts';
import type { Command } from './command.ts';
import type { Terminal } from './terminal.ts';

/** Leading words of Ultralytics' order that say nothing here: `yolo detect train …`. */
const FILLERS = new Set(['yolo', 'detect']);

interface Invocation {
  /** The first word that names a command, or none. */
  readonly name: string | undefined;
  readonly rest: readonly string[];
  /** Was the task named in the place of the command, as in `yolo detect source=…`? */
  readonly task: boolean;
}

/** Runs a command line and returns the exit code; never throws. */
export async function runProgram(argv: readonly string[], terminal: Terminal): Promise<number> {
  const json = argv.some((word) => /^(--)?json(=true)?$/i.test(word));
  try {
    const { name, rest, task } = splitCommand(argv);
    if (name === undefined && !task) return await withoutCommand(argv, json, terminal);
    const command = await findCommand(name ?? 'predict');
    return await runCommand(command, rest, json, terminal);
  } catch (error) {
    const { exitCodeOf, reportFailure } = await import('./failure.ts');
    reportFailure(error, json, terminal);
    return exitCodeOf(error);
  }
}

function splitCommand(argv: readonly string[]): Invocation {
  const rest = [...argv];
  let task = false;
  while (rest[0] !== undefined && FILLERS.has(rest[0])) task = rest.shift() === 'detect' || task;
  const at = rest.findIndex((word) => !/^--?(json|help|h)$/i.test(word));
  const first = rest[at];
  if (first !== undefined && /^[a-z][\w-]*$/i.test(first)) {
    rest.splice(at, 1);
    if (rest[at] === 'detect') rest.splice(at, 1);
    return { name: first.toLowerCase(), rest, task };
  }
  const mode = rest.findIndex((word) => /^(--)?mode=\w+$/.test(word));
  if (mode >= 0) {
    const [word] = rest.splice(mode, 1);
    return { name: word!.split('=')[1], rest, task };
  }
  return { name: undefined, rest, task };
}

async function withoutCommand(argv: readonly string[], json: boolean, terminal: Terminal): Promise<number> {
  if (argv.some((word) => /^(--version|-v|-V)$/.test(word))) {
    return (await findCommand('version')).run({ operands: [], assignments: [], json, terminal });
  }
  const stray = argv.find((word) => !/^--?(json|help|h)$/i.test(word) && !FILLERS.has(word));
  if (stray === undefined) {
    return (await findCommand('help')).run({ operands: [], assignments: [], json, terminal });
  }
  const { UsageError } = await import('./failure.ts');
  const hint = stray.includes('=') ? `mezzo train ${argv.join(' ')}` : 'mezzo --help lists the commands';
  throw new UsageError('USAGE', `'${stray}' stands where a command is expected`, hint);
}

async function findCommand(name: string): Promise<Command> {
  const entry = CATALOGUE.find((known) => known.name === name);
  if (entry !== undefined) return entry.load();
  const { UsageError } = await import('./failure.ts');
  if (ABSENT[name] !== undefined) throw new UsageError('UNSUPPORTED', ABSENT[name]);
  const { didYouMean } = await import('@mezzo/detect/config');
  const near = didYouMean(
    name,
    CATALOGUE.map((known) => known.name),
  );
  throw new UsageError(
    'UNKNOWN_COMMAND',
    `unknown command '${name}'${near}`,
    'mezzo --help lists the commands',
  );
}

async function runCommand(
  command: Command,
  words: readonly string[],
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const { parseWords, Spellings } = await import('@mezzo/detect/config');
  const { EVERYWHERE } = await import('./command.ts');
  const asked = words.slice(0, words.indexOf('--') < 0 ? words.length : words.indexOf('--'));
  if (asked.some((word) => /^(--help|-h)$/i.test(word))) {
    const { helpOf } = await import('./help-page.ts');
    terminal.print(await helpOf(command, terminal));
    return 0;
  }
  const { operands, assignments } = parseWords(words, new Spellings({ ...EVERYWHERE, ...command.options }));
  if (command.operands === false && operands.length > 0) {
    const { UsageError } = await import('./failure.ts');
    throw new UsageError(
      'USAGE',
      `mezzo ${command.name} does not know what to do with '${operands[0]}'`,
      `options are written key=value or --key value; mezzo ${command.name} --help lists them`,
    );
  }
  const own = assignments.filter(({ name }) => !Object.hasOwn(EVERYWHERE, name));
  return command.run({ operands, assignments: own, json, terminal });
}
