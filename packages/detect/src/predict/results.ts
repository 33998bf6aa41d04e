import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Speed } from '../metrics/detection.ts';
import type { Detections } from '../metrics/detections.ts';
import type { DrawnBox, DrawOptions } from '../plots/boxes.ts';
import { formatGeneral } from '../plots/general-format.ts';
import { asSharp, type RawImage, sideBySide, toRgb, writeImage } from '../plots/raster.ts';
import { drawBoxes } from './draw.ts';
import { readImage } from './image.ts';

export type Quad = readonly [number, number, number, number];

/** The boxes found in one image, most confident first. */
export class Boxes implements Iterable<Box> {
  readonly #detections: Detections;
  readonly #width: number;
  readonly #height: number;

  /**
   * @param detections boxes in pixels of the image
   * @param width of the image
   */
  constructor(detections: Detections, width: number, height: number) {
    this.#detections = detections;
    this.#width = width;
    this.#height = height;
  }

  get length(): number {
    return this.#detections.count;
  }

  /** Corners in pixels. */
  get xyxy(): Quad[] {
    return this.#rows((x1, y1, x2, y2) => [x1, y1, x2, y2]);
  }

  /** Centre, width and height in pixels. */
  get xywh(): Quad[] {
    return this.#rows((x1, y1, x2, y2) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]);
  }

  /** Corners as fractions of the image. */
  get xyxyn(): Quad[] {
    return this.xyxy.map(this.#normalize);
  }

  /** Centre, width and height as fractions of the image. */
  get xywhn(): Quad[] {
    return this.xywh.map(this.#normalize);
  }

  /** Confidences, 0 to 1. */
  get conf(): number[] {
    return Array.from(this.#detections.conf);
  }

  /** Class indices. */
  get cls(): number[] {
    return Array.from(this.#detections.cls);
  }

  *[Symbol.iterator](): Iterator<Box> {
    const { conf, cls } = this.#detections;
    for (const [i, xyxy] of this.xyxy.entries()) yield { xyxy, conf: conf[i]!, cls: cls[i]! };
  }

  #normalize = ([a, b, c, d]: Quad): Quad => [
    a / this.#width,
    b / this.#height,
    c / this.#width,
    d / this.#height,
  ];

  #rows(make: (x1: number, y1: number, x2: number, y2: number) => Quad): Quad[] {
    const { count, boxes } = this.#detections;
    return Array.from({ length: count }, (_, i) =>
      make(boxes[4 * i]!, boxes[4 * i + 1]!, boxes[4 * i + 2]!, boxes[4 * i + 3]!),
    );
  }
}

/** One box of {@link Boxes}. */
export interface Box {
  readonly xyxy: Quad;
  readonly conf: number;
  readonly cls: number;
}

export interface PlotOptions extends DrawOptions {
  /** Draw class names; true unless false. */
  readonly labels?: boolean;
  /** Draw confidences; true unless false. */
  readonly conf?: boolean;
  /** Draw boxes at all; true unless false. */
  readonly boxes?: boolean;
}

/** What was found in one image. */
export class Results {
  /** Path of the image, or a name for an image that came without one. */
  readonly path: string;
  /** Size of the original image in pixels. */
  readonly width: number;
  readonly height: number;
  /** Class names, by class index. */
  readonly names: readonly string[];
  readonly boxes: Boxes;
  /** Seconds. */
  readonly speed: Speed;
  /** The folder that pictures and texts were written to, if any. */
  readonly saveDir?: string;
  /** Of a pair: the infrared picture, null when it was missing. */
  readonly infrared?: string | null;
  readonly #views: readonly View[];

  /** @param init.views where the pixels come from when a picture is drawn; those of a pair are drawn side by side */
  constructor(init: {
    path: string;
    views: readonly View[];
    width: number;
    height: number;
    names: readonly string[];
    detections: Detections;
    speed: Speed;
    saveDir?: string;
    infrared?: string | null;
  }) {
    this.path = init.path;
    this.width = init.width;
    this.height = init.height;
    this.names = init.names;
    this.boxes = new Boxes(init.detections, init.width, init.height);
    this.speed = init.speed;
    if (init.saveDir !== undefined) this.saveDir = init.saveDir;
    if (init.infrared !== undefined) this.infrared = init.infrared;
    this.#views = init.views;
  }

  /** The original image in RGB with boxes and labels drawn; of a pair both, visible light on the left. */
  async plot(options: PlotOptions = {}): Promise<RawImage> {
    const { labels = true, conf = true, boxes = true } = options;
    const drawn = Array.from(boxes ? this.boxes : [], (box): DrawnBox => {
      const words = [labels ? this.#nameOf(box.cls) : '', conf ? box.conf.toFixed(2) : ''];
      const label = words.filter((word) => word !== '').join(' ');
      return { xyxy: box.xyxy, cls: box.cls, ...(label === '' ? {} : { label }) };
    });
    const views = await Promise.all(
      this.#views.map(async (view) => drawBoxes(await pixelsOf(view), drawn, options)),
    );
    return sideBySide(views);
  }

  /** Writes the picture of {@link plot}; the suffix of `file` decides its format. */
  async save(file: string, options: PlotOptions = {}): Promise<void> {
    await mkdir(path.dirname(file), { recursive: true });
    await writeImage(await this.plot(options), file);
  }

  /**
   * Writes one line per box in YOLO format, class and normalised centre, width and height; an image without boxes
   * gives an empty file.
   */
  async saveTxt(file: string, options: { conf?: boolean } = {}): Promise<void> {
    const { conf, cls, xywhn } = this.boxes;
    const lines = xywhn.map((row, i) =>
      [cls[i]!, ...row, ...(options.conf ? [conf[i]!] : [])]
        .map((value) => formatGeneral(value, 6))
        .join(' '),
    );
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, lines.map((line) => `${line}\n`).join(''));
  }

  /**
   * Writes every box as a picture of its own, of a pair from the visible picture: `folder/<class name>/<image name>.jpg`, then `<image name>-2.jpg`, …
   *
   * @returns the files written
   */
  async saveCrop(folder: string): Promise<string[]> {
    const image = await pixelsOf(this.#views[0]!);
    const stem = path.parse(this.path).name;
    const perClass = new Map<number, number>();
    const files: string[] = [];
    for (const { xyxy, cls } of this.boxes) {
      const left = Math.min(Math.max(Math.floor(xyxy[0]), 0), image.width - 1);
      const top = Math.min(Math.max(Math.floor(xyxy[1]), 0), image.height - 1);
      const width = Math.max(1, Math.min(Math.ceil(xyxy[2]), image.width) - left);
      const height = Math.max(1, Math.min(Math.ceil(xyxy[3]), image.height) - top);
      const number = (perClass.get(cls) ?? 0) + 1;
      perClass.set(cls, number);
      const file = path.join(
        folder,
        folderName(this.#nameOf(cls)),
        `${stem}${number === 1 ? '' : `-${number}`}.jpg`,
      );
      await mkdir(path.dirname(file), { recursive: true });
      await asSharp(image).extract({ left, top, width, height }).jpeg({ quality: 95 }).toFile(file);
      files.push(file);
    }
    return files;
  }

  /** The image in one line: `bus.jpg: 810x1080 4 person, 1 bus, 36.3ms`, the time that of the network. */
  summary(): string {
    const counts = new Map<number, number>();
    for (const cls of this.boxes.cls) counts.set(cls, (counts.get(cls) ?? 0) + 1);
    const found = [...counts]
      .sort(([a], [b]) => a - b)
      .map(([cls, count]) => `${count} ${this.#nameOf(cls)}`);
    const words = found.length === 0 ? 'no detections' : found.join(', ');
    return `${this.path}: ${this.width}x${this.height} ${words}, ${(this.speed.inference * 1000).toFixed(1)}ms`;
  }

  /** The line that `predict --json` prints for the image. */
  toJSON(): object {
    const boxes = Array.from(this.boxes, ({ cls, conf, xyxy }) => ({
      cls,
      name: this.#nameOf(cls),
      conf: Number(conf.toFixed(5)),
      xyxy: xyxy.map((value) => Number(value.toFixed(3))),
    }));
    const infrared = this.infrared === undefined ? {} : { infrared: this.infrared };
    return { path: this.path, ...infrared, width: this.width, height: this.height, boxes };
  }

  #nameOf(cls: number): string {
    return this.names[cls] ?? `class ${cls}`;
  }
}

/** A path, encoded bytes, or pixels. */
type View = string | Uint8Array | RawImage;

async function pixelsOf(view: View): Promise<RawImage> {
  return typeof view === 'string' || view instanceof Uint8Array ? readImage(view) : toRgb(view);
}

/** A class name as one folder below another, whatever the name contains. */
function folderName(name: string): string {
  const safe = name.replace(/[/\\\0]/g, '_');
  return /^\.*$/.test(safe) ? `_${safe}` : safe;
}
