/** The labels of visible pictures in the layout of LLVIP, where no folder is called `images`. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { vocSource, yoloFile } from '../label-source.ts';
import type { ListedImage } from '../split-source.ts';

const VISIBLE = 'visible';

/**
 * Pictures below a folder `visible` get the labels beside that folder: YOLO rows in `labels/`, else VOC XML in
 * `Annotations/`, with or without the folders below `visible` (LLVIP has none there). Others keep theirs.
 */
export async function pairLabels(
  listed: readonly ListedImage[],
  names: readonly string[],
): Promise<ListedImage[]> {
  const folders = new Map<string, Promise<ReadonlySet<string>>>();
  const filesIn = (folder: string) => {
    const known = folders.get(folder) ?? readdir(folder).then((files) => new Set(files), noFiles);
    folders.set(folder, known);
    return known;
  };
  return Promise.all(
    listed.map(async ({ image, labels }) => {
      const place = visiblePlace(image);
      if (place === null) return { image, labels };
      const { root, below, stem } = place;
      const yolo = path.join(root, 'labels', below);
      if ((await filesIn(yolo)).has(`${stem}.txt`)) {
        return { image, labels: yoloFile(path.join(yolo, `${stem}.txt`), names.length) };
      }
      for (const folder of [path.join(root, 'Annotations', below), path.join(root, 'Annotations')]) {
        if ((await filesIn(folder)).has(`${stem}.xml`)) {
          return { image, labels: vocSource(path.join(folder, `${stem}.xml`), names) };
        }
      }
      return { image, labels };
    }),
  );
}

/** A folder that is not there holds no labels; other reasons are met again, and told, where the labels are read. */
function noFiles(): ReadonlySet<string> {
  return new Set();
}

/** Where a picture lies below the last folder `visible`; null when there is none. */
function visiblePlace(image: string): { root: string; below: string; stem: string } | null {
  const segments = path.dirname(image).split(path.sep);
  const at = segments.lastIndexOf(VISIBLE);
  if (at < 0 || segments.includes('images', at)) return null;
  return {
    root: segments.slice(0, at).join(path.sep) || path.sep,
    below: segments.slice(at + 1).join(path.sep),
    stem: path.basename(image, path.extname(image)),
  };
}
