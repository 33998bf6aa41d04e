import type { Terminal } from '../src/terminal.ts';

/** A terminal that keeps what is written to it. */
export interface RecordingTerminal extends Terminal {
  readonly printed: string[];
  readonly notes: string[];
  readonly statuses: string[];
}

export function recordingTerminal({ interactive }: { interactive: boolean }): RecordingTerminal {
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
    columns: 100,
    bold: plain,
    dim: plain,
    red: plain,
    green: plain,
    yellow: plain,
  };
}
