import { canWrite } from './text.ts';

/** Class names for a picture: a name in a script that the font does not have becomes the number of its class. */
export function drawableNames(names: readonly string[]): string[] {
  return names.map((name, id) => (canWrite(name) ? name : `class ${id}`));
}
