import type { Assignment, Command as DetectorCommand, OptionTable } from '@mezzo/detect/config';
import type { Terminal } from './terminal.ts';

/** What a command gets to work with. */
export interface Call {
  /** Words that are no option. */
  readonly operands: readonly string[];
  readonly assignments: readonly Assignment[];
  /** One JSON document or JSON lines on stdout, and nothing else there. */
  readonly json: boolean;
  readonly terminal: Terminal;
}

export interface Command {
  readonly name: string;
  /** Lines that show how the command is written. */
  readonly usage: readonly string[];
  /** What it does, what it writes, what the exit code says. */
  readonly about: string;
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  readonly options: OptionTable;
  /** Whose rows of the detector's table `options` is, where it is that table. */
  readonly detector?: DetectorCommand;
  /** Words that are no option: what they are called in an error, or false when there can be none. */
  readonly operands: string | false;
  /** Returns the exit code. */
  readonly run: (call: Call) => Promise<number>;
}

/** Options that every command has. */
export const EVERYWHERE: OptionTable = {
  json: { type: 'bool', default: false, help: 'results as JSON on stdout, nothing else there' },
  help: { type: 'bool', default: false, help: 'this page', aliases: ['h'] },
};
