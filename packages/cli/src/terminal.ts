/** Where a command writes. Results go to stdout; notes, progress and errors to stderr. */
export interface Terminal {
  /** A line of results. */
  print(text: string): void;
  /** A line beside the results. */
  note(text: string): void;
  /** Shows or replaces the line that is being worked on; only on an interactive terminal. */
  status(text: string): void;
  /** Leaves the current status line standing. */
  keepStatus(): void;
  /** Is there somebody who sees a line change? */
  readonly interactive: boolean;
  /** Width in characters. */
  readonly columns: number;
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

const ERASE_LINE = '\r\x1b[2K';

/** The terminal of this process. Colours follow NO_COLOR and FORCE_COLOR, and whether stderr is a terminal. */
export function openTerminal(env: NodeJS.ProcessEnv = process.env): Terminal {
  const { stdout, stderr } = process;
  const interactive = stderr.isTTY === true && env.TERM !== 'dumb';
  const coloured = env.NO_COLOR ? false : env.FORCE_COLOR ? env.FORCE_COLOR !== '0' : interactive;
  const paint = (code: number) => (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);
  let statusShown = false;

  // A reader that went away (`| head`) has what it wanted.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });

  const write = (stream: NodeJS.WriteStream, text: string) => {
    if (statusShown) stderr.write(ERASE_LINE);
    statusShown = false;
    stream.write(`${text}\n`);
  };

  return {
    print: (text) => write(stdout, text),
    note: (text) => write(stderr, text),
    status: (text) => {
      if (!interactive) return;
      const width = (stderr.columns || 80) - 1;
      stderr.write(`${ERASE_LINE}${text.length > width ? text.slice(0, width) : text}`);
      statusShown = true;
    },
    keepStatus: () => {
      if (statusShown) stderr.write('\n');
      statusShown = false;
    },
    interactive,
    get columns() {
      return stdout.columns || stderr.columns || 100;
    },
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
  };
}
