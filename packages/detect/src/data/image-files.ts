/** Which files are images, by their names. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

/** Suffixes of image files, in lower case. */
export const IMAGE_SUFFIXES = [
  'avif',
  'bmp',
  'dng',
  'heic',
  'heif',
  'jp2',
  'jpeg',
  'jpeg2000',
  'jpg',
  'mpo',
  'png',
  'tif',
  'tiff',
  'webp',
] as const;

export function isImage(file: string): boolean {
  const suffix = path.extname(file).slice(1).toLowerCase();
  return (IMAGE_SUFFIXES as readonly string[]).includes(suffix);
}

/** The images of a folder and its subfolders, sorted. */
export async function imagesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory() && isImage(entry.name));
  return files.map((entry) => path.join(entry.parentPath, entry.name)).sort();
}
