/** Finding and checking the images of a split. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { mapConcurrent } from './concurrent.ts';
import type { DataSet, SplitName } from './data-yaml.ts';
import { DataError } from './errors.ts';
import { type Fault, inspectImage, labelPath } from './inspect-image.ts';
import { cacheFile, LabelCache } from './label-cache.ts';

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

/** An image of a split with its labels: rows `class cx cy w h`, normalised to the image. */
export interface LabelledImage {
  path: string;
  width: number;
  height: number;
  labels: Float32Array;
}

export interface ScanReport {
  /** Usable images, of `found`. */
  images: number;
  found: number;
  /** Usable images without any object. */
  backgrounds: number;
  boxes: number;
  /** Repeated label rows and boxes without area that were left out. */
  duplicates: number;
  flat: number;
  skipped: Fault[];
  /** Images that had not changed since an earlier scan. */
  remembered: number;
  /** Why the findings could not be kept for the next time, if so. */
  cacheProblem: string | null;
}

export interface Split {
  name: SplitName;
  images: LabelledImage[];
  /** Class names after `singleCls`. */
  names: string[];
  report: ScanReport;
}

export interface ScanOptions {
  /** Any bad image or label is an error; otherwise bad ones are skipped and reported. */
  strict?: boolean;
  /** All objects are of one class. */
  singleCls?: boolean;
  /** Only objects of these classes are kept. */
  classes?: readonly number[] | null;
  /** Part of the images to use, from the first on: above 0, up to 1. */
  fraction?: number;
  /** Keep the findings for the next scan. */
  cache?: boolean;
  signal?: AbortSignal;
}

const READERS = 16;
const LISTED = 10;

/**
 * Reads the image headers and label files of a split.
 * @throws {DataError} when there is no image, no label, or only bad ones; with `strict` for any bad one
 */
export async function scanSplit(data: DataSet, name: SplitName, options: ScanOptions = {}): Promise<Split> {
  const { strict = false, singleCls = false, classes = null, fraction = 1, cache = true, signal } = options;
  const sources = data.splits[name];
  if (!sources) throw new DataError(`${data.file}: there is no '${name}:'`, { hint: `add '${name}:' to it` });
  const all = await listImages(sources, name);
  const files = fraction < 1 ? all.slice(0, Math.max(1, Math.round(all.length * fraction))) : all;
  const store = cache ? await LabelCache.open(cacheFile(sources, data.names.length)) : null;
  const findings = await mapConcurrent(files, READERS, async (file) => {
    signal?.throwIfAborted();
    const inspect = () => inspectImage(file, data.names.length);
    return store ? store.find(file, inspect) : inspect();
  });
  const skipped: Fault[] = [];
  const images: LabelledImage[] = [];
  const report: ScanReport = {
    images: 0,
    found: files.length,
    backgrounds: 0,
    boxes: 0,
    duplicates: 0,
    flat: 0,
    skipped,
    remembered: store?.hits ?? 0,
    cacheProblem: await saveProblem(store),
  };
  let labelled = 0;
  for (const [i, finding] of findings.entries()) {
    if ('reason' in finding) {
      skipped.push(finding);
      continue;
    }
    const labels = chooseRows(finding.rows, singleCls, classes);
    images.push({ path: files[i]!, width: finding.width, height: finding.height, labels });
    labelled += finding.labelled ? 1 : 0;
    report.backgrounds += labels.length === 0 ? 1 : 0;
    report.boxes += labels.length / 5;
    report.duplicates += finding.duplicates;
    report.flat += finding.flat;
  }
  report.images = images.length;
  refuse(name, files, report, labelled, strict);
  return { name, images, names: singleCls ? ['item'] : data.names, report };
}

function refuse(
  name: SplitName,
  files: string[],
  report: ScanReport,
  labelled: number,
  strict: boolean,
): void {
  const { skipped, found, images } = report;
  if (images === 0) {
    throw new DataError(`${name}: none of the ${found} images can be used\n${listFaults(skipped)}`, {
      hint: 'correct the files named above',
    });
  }
  if (strict && skipped.length > 0) {
    throw new DataError(
      `${name}: ${skipped.length} of ${found} images have a fault\n${listFaults(skipped)}`,
      {
        hint: 'correct or remove them; without strict=true such images are skipped',
      },
    );
  }
  if (labelled === 0) {
    const first = files[0]!;
    throw new DataError(`${name}: no image has a label file; for ${first} it would be ${labelPath(first)}`, {
      hint: "labels lie beside the images, with 'labels' in place of the last folder 'images', one .txt an image",
    });
  }
}

/** Faults as indented lines `file:line: reason`, the first ten of them. */
export function listFaults(faults: readonly Fault[]): string {
  const lines = faults
    .slice(0, LISTED)
    .map(({ file, line, reason }) => `  ${file}${line === undefined ? '' : `:${line}`}: ${reason}`);
  if (faults.length > LISTED) lines.push(`  … and ${faults.length - LISTED} more`);
  return lines.join('\n');
}

function chooseRows(
  rows: readonly number[],
  singleCls: boolean,
  classes: readonly number[] | null,
): Float32Array {
  const chosen: number[] = [];
  for (let i = 0; i < rows.length; i += 5) {
    if (classes !== null && !classes.includes(rows[i]!)) continue;
    chosen.push(singleCls ? 0 : rows[i]!, rows[i + 1]!, rows[i + 2]!, rows[i + 3]!, rows[i + 4]!);
  }
  return Float32Array.from(chosen);
}

// A cache that cannot be written (a full disk, no permission) costs time at the next start, nothing else.
async function saveProblem(store: LabelCache | null): Promise<string | null> {
  try {
    await store?.save();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

async function listImages(sources: readonly string[], name: SplitName): Promise<string[]> {
  const files: string[] = [];
  for (const source of sources) files.push(...(await imagesOf(source)));
  if (files.length > 0) return files;
  throw new DataError(`${name}: there are no images in ${sources.join(', ')}`, {
    hint: `put images there (${IMAGE_SUFFIXES.join(', ')}), or correct '${name}:' in the data.yaml`,
  });
}

async function imagesOf(source: string): Promise<string[]> {
  try {
    return (await stat(source)).isDirectory() ? await imagesIn(source) : await imagesOfList(source);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const hint = 'correct the path in the data.yaml, or make it readable';
    throw new DataError(`cannot read ${source}: ${(cause as Error).message}`, { hint, cause });
  }
}

function isImage(file: string): boolean {
  const suffix = path.extname(file).slice(1).toLowerCase();
  return (IMAGE_SUFFIXES as readonly string[]).includes(suffix);
}

async function imagesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory() && isImage(entry.name));
  return files.map((entry) => path.join(entry.parentPath, entry.name)).sort();
}

/** Relative lines of a list start from the list's own folder. */
async function imagesOfList(list: string): Promise<string[]> {
  if (path.extname(list).toLowerCase() !== '.txt') {
    throw new DataError(`${list}: neither a folder of images nor a .txt list of them`, {
      hint: 'name a folder, or a text file with one image path a line',
    });
  }
  const lines = (await readFile(list, 'utf8')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '').map((line) => path.resolve(path.dirname(list), line));
}
