import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MezzoError } from '@mezzo/libtorch';
import type { Terminal } from './terminal.ts';

/**
 * Shows a flight recorder's file as a table, or as JSON, and writes its page when `out` names one.
 * @throws MezzoError NO_SUCH_FILE, BAD_RECORDING; NO_PERMISSION, DISK_FULL
 */
export async function showRecording(
  file: string,
  out: string | null,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const { driftsOf, Recording, recordingPage, recordingText } = await import('@mezzo/precision');
  const { writeFileAtomically } = await import('@mezzo/torch');
  const recording = Recording.from(await readJson(file), file);
  if (out !== null) await writeFileAtomically(out, recordingPage(recording, path.basename(file)));
  if (json) {
    const steps = recording.samples.map(({ window, scale, skipped }) => ({ window, scale, skipped }));
    terminal.print(JSON.stringify({ dtype: recording.dtype, samples: steps, layers: driftsOf(recording) }));
    return 0;
  }
  terminal.print(recordingText(recording));
  if (out !== null) terminal.print(`Written to ${terminal.bold(out)}`);
  return 0;
}

async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new MezzoError('NO_SUCH_FILE', `recorder: ${file} cannot be read`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MezzoError('BAD_RECORDING', `${file} is not JSON`, {
      hint: 'mezzo train recorder=FILE writes such a file',
      cause,
    });
  }
}
