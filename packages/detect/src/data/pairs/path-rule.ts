/** Where the infrared picture of a visible one lies, by the names of the folders above it. */
import path from 'node:path';

/** Folder of visible pictures, and the one of infrared pictures beside it: YOLOFuse's and LLVIP's names. */
const RULES: readonly (readonly [visible: string, infrared: string])[] = [
  ['images', 'imagesIR'],
  ['visible', 'infrared'],
];

/** Both names of every rule, for messages. */
export const RULE_TEXT = RULES.map(([visible, infrared]) => `${visible} → ${infrared}`).join(', ');

/**
 * Folders that may hold the partners of the pictures of `folder`, likeliest first: one whole folder name of the path is
 * exchanged, the last one that can be, then those above it. Names that only contain one (`my-images`) stay as they are.
 */
export function infraredFolders(folder: string): string[] {
  const segments = folder.split(path.sep);
  const folders: string[] = [];
  for (let i = segments.length - 1; i >= 0; i--) {
    const rule = RULES.find(([visible]) => visible === segments[i]);
    if (rule) folders.push([...segments.slice(0, i), rule[1], ...segments.slice(i + 1)].join(path.sep));
  }
  return folders;
}
