import type { Terminal } from '../src/terminal.ts';

/** A terminal that keeps what is written to it. */
export interface RecordingTerminal extends Terminal {
  readonly printed: string[];
  readonly notes: string[];
  readonly statuses: string[];
}

export function recordingTerminal({
  interactive,
  columns = 100,
}: {
  interactive: boolean;
  columns?: number;
}): RecordingTerminal {
  const printed: string[] = [];
  const notes: string[] = [];
  const statuses: string[] = [];
  const plain = (text: string) => text;
  return {
    printed,
    notes,
    statuses,
    print: (text) => printed.push(text),
    note: (text) => notes.push(text),
    status: (text) => interactive && statuses.push(text),
    keepStatus: () => {},
    interactive,
    columns,
    bold: plain,
    dim: plain,
    red: plain,
    green: plain,
    yellow: plain,
  };
}
