/** Annotations in COCO's JSON: one file a split. */
import { readFile } from 'node:fs/promises';
import { DataError } from './errors.ts';
import { addPixelBox, type LabelProblem, LabelRows, type Labels, statedSize } from './label-rows.ts';

export interface CocoCategory {
  id: number;
  name: string;
}

export interface CocoBox {
  /** As the file names the annotation; its place in the list where it has no id. */
  id: number;
  category: number;
  /** Left, top, width, height in pixels. */
  box: [number, number, number, number];
  crowd: boolean;
}

export interface CocoImage {
  file: string;
  size: { width: number; height: number } | null;
  boxes: CocoBox[];
}

export interface CocoFile {
  /** By id. */
  categories: CocoCategory[];
  images: CocoImage[];
  /** Annotations of images that are not listed. */
  strays: number;
}

const FORM = "a COCO file is an object with the lists 'images', 'annotations' and 'categories'";

/** Reads and checks a file of annotations. @throws {DataError} naming the file, and the entry or line at fault */
export async function readCoco(file: string): Promise<CocoFile> {
  const document = parse(file, await readText(file));
  const fault = (reason: string) => new DataError(`${file}: ${reason}`, { hint: FORM });
  const list = (key: string): Record<string, unknown>[] => {
    const value = isObject(document) ? document[key] : undefined;
    if (!Array.isArray(value)) throw fault(`there is no list '${key}'`);
    const odd = value.findIndex((entry) => !isObject(entry));
    if (odd >= 0) throw fault(`${key}[${odd}] is no object`);
    return value;
  };
  const categories = list('categories').map((entry, i): CocoCategory => {
    if (!Number.isInteger(entry.id) || typeof entry.name !== 'string') {
      throw fault(`categories[${i}] needs a whole number 'id' and a text 'name'`);
    }
    return { id: entry.id as number, name: entry.name };
  });
  categories.sort((a, b) => a.id - b.id);
  if (new Set(categories.map(({ id }) => id)).size < categories.length)
    throw fault('two categories share an id');
  const images = new Map<unknown, CocoImage>();
  for (const [i, entry] of list('images').entries()) {
    const { id, file_name: name, width, height } = entry;
    if ((typeof id !== 'number' && typeof id !== 'string') || typeof name !== 'string' || name === '') {
      throw fault(`images[${i}] needs an 'id' and a text 'file_name'`);
    }
    if (images.has(id)) throw fault(`images[${i}]: the id ${id} appears twice`);
    const sized = typeof width === 'number' && typeof height === 'number';
    images.set(id, { file: name, size: sized ? { width, height } : null, boxes: [] });
  }
  let strays = 0;
  for (const [i, entry] of list('annotations').entries()) {
    const { id, image_id: owner, category_id: category, bbox: box, iscrowd } = entry;
    const numbers = Array.isArray(box) && box.length === 4 && box.every(Number.isFinite);
    if (!numbers || !Number.isInteger(category)) {
      throw fault(`annotations[${i}] needs 'bbox' (four numbers) and a whole number 'category_id'`);
    }
    const image = images.get(owner);
    if (image === undefined) {
      strays++;
      continue;
    }
    image.boxes.push({
      id: Number.isInteger(id) ? (id as number) : i,
      category: category as number,
      box: box as CocoBox['box'],
      crowd: Boolean(iscrowd),
    });
  }
  return { categories, images: [...images.values()], strays };
}

/**
 * The rows of an image. As in the reference, crowd regions are left out; so are categories that the data set does not
 * name.
 * @param classes the class of each category's id
 */
export function cocoLabels(
  { boxes, size: stated }: Pick<CocoImage, 'boxes' | 'size'>,
  picture: { width: number; height: number },
  classes: ReadonlyMap<number, number>,
): Labels | LabelProblem {
  const size = statedSize(stated, picture);
  if ('reason' in size) return size;
  const labels = new LabelRows();
  for (const { id, category, box, crowd } of boxes) {
    const cls = classes.get(category);
    if (cls === undefined) {
      labels.leave(`object of another class (category ${category})`);
      continue;
    }
    if (crowd) {
      labels.leave('crowd region');
      continue;
    }
    const [left, top, width, height] = box;
    const placed = { centre: [left + width / 2, top + height / 2], box: [width, height] } as const;
    if (width <= 0 || height <= 0) {
      labels.leave('box without area');
      continue;
    }
    const reason = addPixelBox(labels, cls, placed, size);
    if (reason !== null) return { reason: `annotation ${id}: ${reason}` };
  }
  return labels.labels;
}

/** The class of each category: by name among the data set's. @throws {DataError} when none has a name of these */
export function cocoClasses(
  file: string,
  categories: readonly CocoCategory[],
  names: readonly string[],
): Map<number, number> {
  const classes = new Map<number, number>();
  for (const { id, name } of categories) {
    const cls = names.indexOf(name);
    if (cls >= 0) classes.set(id, cls);
  }
  if (classes.size > 0) return classes;
  const few = (list: readonly string[]) => `${list.slice(0, 5).join(', ')}${list.length > 5 ? ', …' : ''}`;
  throw new DataError(
    `${file}: none of its categories (${few(categories.map(({ name }) => name))}) is a class of the data set (${few(names)})`,
    {
      hint: "write 'names' as the categories are called, or leave 'names' out of the yaml: they become the classes",
    },
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new DataError(`cannot read ${file}: ${(cause as Error).message}`, {
      hint: 'correct the path, or make the file readable',
      cause,
    });
  }
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const { message } = cause as Error;
    const at = /position (\d+)/.exec(message)?.[1];
    const line = at === undefined ? '' : `:${text.slice(0, Number(at)).split('\n').length}`;
    throw new DataError(`${file}${line}: malformed JSON: ${message.replace(/\s+/g, ' ')}`, {
      hint: FORM,
      cause,
    });
  }
}
