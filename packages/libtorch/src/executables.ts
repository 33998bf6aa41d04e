import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Full path of a command as a shell would find it on `PATH`, or undefined. A name with a slash is taken as a
 * path.
 */
export function findExecutable(command: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const places = command.includes('/')
    ? [path.resolve(command)]
    : (env.PATH ?? '')
        .split(path.delimiter)
        .filter(Boolean)
        .map((folder) => path.join(folder, command));
  return places.find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    // Absent, not executable, or below something that is not a folder: not a command in each case.
    return false;
  }
}
