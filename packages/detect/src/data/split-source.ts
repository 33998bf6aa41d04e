/** What a split of a data set consists of: where its images are, and where their labels. */
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { cocoClasses, readCoco } from './coco-json.ts';
import { DataError } from './errors.ts';
import { imagesIn, isImage } from './image-files.ts';
import { cocoSource, type LabelSource, labelPath, vocSource, yoloSource } from './label-source.ts';
import { parseVoc } from './voc-xml.ts';

/** Annotations with the folder of their images; null looks where such data sets usually keep them. */
export interface AnnotatedSource {
  /** A COCO JSON file, or a folder of VOC XML files. */
  readonly annotations: string;
  readonly images: string | null;
  /** VOC: a file that names the annotations to use, one a line. */
  readonly list?: string;
}

/** A folder of images, a .txt list of images, a COCO file, a VOC folder or list; or annotations and images apart. */
export type SplitSource = string | AnnotatedSource;

export interface ListedImage {
  image: string;
  labels: LabelSource;
}

/** @throws {DataError} for a source that is none, annotations that cannot be read, images that are not to be found */
export async function listSource(source: SplitSource, names: readonly string[]): Promise<ListedImage[]> {
  try {
    return await list(source, names);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const hint = 'correct the path in the data.yaml, or make it readable';
    throw new DataError(`cannot read ${placeOf(source)}: ${(cause as Error).message}`, { hint, cause });
  }
}

export function placeOf(source: SplitSource): string {
  return typeof source === 'string' ? source : source.annotations;
}

async function list(source: SplitSource, names: readonly string[]): Promise<ListedImage[]> {
  if (typeof source !== 'string') return listAnnotated(source, names);
  if ((await stat(source)).isDirectory()) return listFolder(source, names);
  const suffix = path.extname(source).toLowerCase();
  if (suffix === '.json') return listCoco(source, null, names);
  if (suffix === '.txt') return listText(source, names);
  throw new DataError(`${source}: neither a folder of images nor a .txt list of them`, {
    hint: 'name a folder, a text file with one image path a line, a COCO .json file, or a folder of VOC .xml files',
  });
}

async function listAnnotated(
  { annotations, images, list }: AnnotatedSource,
  names: readonly string[],
): Promise<ListedImage[]> {
  if ((await stat(annotations)).isDirectory()) {
    return listVoc(annotations, images, names, list === undefined ? null : await linesOf(list));
  }
  if (path.extname(annotations).toLowerCase() === '.json') return listCoco(annotations, images, names);
  throw new DataError(`${annotations}: neither a COCO .json file nor a folder of VOC .xml files`, {
    hint: "correct 'annotations'",
  });
}

async function listFolder(folder: string, names: readonly string[]): Promise<ListedImage[]> {
  const images = await imagesIn(folder);
  const xml = await xmlIn(folder);
  if (xml.length > 0 && !(await anyLabelled(images))) return listVoc(folder, null, names, null);
  return images.map((image) => ({ image, labels: yoloSource(image, names.length) }));
}

/** Has one of them a label file of the YOLO form? */
async function anyLabelled(images: readonly string[]): Promise<boolean> {
  for (const image of images) {
    if (await exists(labelPath(image))) return true;
  }
  return false;
}

/** Relative lines of a list start from the list's own folder; lines without a suffix are names of VOC annotations. */
async function listText(file: string, names: readonly string[]): Promise<ListedImage[]> {
  const lines = await linesOf(file);
  const [first] = lines;
  const root = path.resolve(path.dirname(file), '..', '..');
  const annotations = path.join(root, 'Annotations');
  if (first !== undefined && !isImage(first.split(/\s+/)[0]!) && (await exists(annotations))) {
    return listVoc(annotations, null, names, lines);
  }
  return lines.map((line) => {
    const image = path.resolve(path.dirname(file), line);
    return { image, labels: yoloSource(image, names.length) };
  });
}

/** The lines of a text file that hold something. */
export async function linesOf(file: string): Promise<string[]> {
  const lines = (await readFile(file, 'utf8')).replace(/^\uFEFF/, '').split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}

async function listCoco(
  file: string,
  images: string | null,
  names: readonly string[],
): Promise<ListedImage[]> {
  const coco = await readCoco(file);
  const classes = cocoClasses(file, coco.categories, names);
  const folder = images ?? (await cocoImages(file, coco.images[0]?.file));
  return coco.images.map((image) => ({
    image: path.resolve(folder, image.file),
    labels: cocoSource(file, image, classes),
  }));
}

/** COCO's own layout is annotations/instances_train2017.json beside train2017/; others put both into one folder. */
async function cocoImages(file: string, first: string | undefined): Promise<string> {
  const folder = path.dirname(file);
  if (first === undefined) return folder;
  const split = path.basename(file, path.extname(file)).replace(/^instances_/, '');
  const within = ['', 'images', split, `images/${split}`];
  const places = [folder, path.dirname(folder)].flatMap((base) =>
    within.map((name) => path.join(base, name)),
  );
  for (const place of places) {
    if (await exists(path.resolve(place, first))) return place;
  }
  throw new DataError(`${file}: its first image, ${first}, is in none of ${places.join(', ')}`, {
    hint: 'say where the images are: `train: {annotations: FILE.json, images: FOLDER}`',
  });
}

async function listVoc(
  folder: string,
  images: string | null,
  names: readonly string[],
  chosen: readonly string[] | null,
): Promise<ListedImage[]> {
  const files = await xmlIn(folder);
  const found = await imagesByName(images === null ? vocImagePlaces(folder) : [images]);
  const known = new Map(files.map((file) => [path.basename(withoutSuffix(file)), file]));
  const wanted = chosen === null ? files : chosenFiles(chosen, known, folder);
  const listed: ListedImage[] = [];
  for (const file of wanted) {
    const name = withoutSuffix(path.relative(folder, file));
    const image = found.get(name) ?? found.get(path.basename(name)) ?? (await namedImage(file, found));
    listed.push({ image: image ?? `${withoutSuffix(file)}.jpg`, labels: vocSource(file, names) });
  }
  return listed;
}

/** A line of a list is a name, after which VOC's class lists write whether an object of the class is there (-1: no). */
function chosenFiles(lines: readonly string[], known: ReadonlyMap<string, string>, folder: string): string[] {
  return lines
    .map((line) => line.split(/\s+/))
    .filter(([, sign]) => sign !== '-1')
    .map(([name]) => known.get(name!) ?? path.join(folder, `${name}.xml`));
}

function vocImagePlaces(folder: string): string[] {
  const parent = path.dirname(folder);
  const beside = ['JPEGImages', 'images', 'Images'].map((name) => path.join(parent, name));
  // voc/test and images/test beside each other.
  return [folder, path.join(path.dirname(parent), 'images', path.basename(folder)), ...beside];
}

/** The images of the first folder that has any: by path and by name, both without suffix; no name stands for two. */
async function imagesByName(folders: readonly string[]): Promise<Map<string, string>> {
  for (const folder of folders) {
    const images = (await exists(folder)) ? await imagesIn(folder) : [];
    if (images.length === 0) continue;
    const named = new Map<string, string>();
    const several = new Set<string>();
    for (const image of images) {
      const name = path.basename(withoutSuffix(image));
      if (named.has(name)) several.add(name);
      named.set(name, image);
    }
    for (const name of several) named.delete(name);
    for (const image of images) named.set(withoutSuffix(path.relative(folder, image)), image);
    return named;
  }
  throw new DataError(`there are no images in ${folders.join(', ')}`, {
    hint: 'say where they are: `train: {annotations: FOLDER, images: FOLDER}`',
  });
}

/** The image that the annotation itself names; its path is that of the machine where it was made. */
async function namedImage(file: string, found: ReadonlyMap<string, string>): Promise<string | undefined> {
  if (!(await exists(file))) return undefined;
  const annotation = parseVoc(await readFile(file, 'utf8'));
  if ('reason' in annotation || annotation.filename === null) return undefined;
  return found.get(path.basename(withoutSuffix(annotation.filename)));
}

/** The .xml files of a folder and its subfolders, sorted. */
export async function xmlIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory() && /\.xml$/i.test(entry.name));
  return files.map((entry) => path.join(entry.parentPath, entry.name)).sort();
}

function withoutSuffix(file: string): string {
  return file.slice(0, file.length - path.extname(file).length);
}

function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
