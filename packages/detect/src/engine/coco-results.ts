import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { DataSet } from '../data/data-yaml.ts';
import type { Split } from '../data/scan.ts';
import { placeOf } from '../data/split-source.ts';
import type { ValImage } from '../data/val-loader.ts';
import { type CocoStats, cocoStats } from '../metrics/coco.ts';
import { categoryIds } from '../metrics/coco-categories.ts';
import {
  type CocoAnnotation,
  type CocoDetection,
  type CocoGroundTruth,
  type CocoImageId,
  cocoImageId,
  toCocoAnnotations,
  toCocoDetections,
} from '../metrics/coco-format.ts';
import type { Detections } from '../metrics/detections.ts';
import { targetsOf } from './validator.ts';

/** A COCO file of annotations, as it is written: ids, crowd regions and areas included. */
interface CocoTruth {
  readonly images: readonly { readonly id: CocoImageId; readonly file_name: string }[];
  readonly annotations: readonly (Omit<CocoAnnotation, 'area'> & { readonly area?: number })[];
  readonly categories: readonly { readonly id: number; readonly name: string }[];
}

/**
 * Collects the detections of a validation in COCO's form, with what they are to be compared with: the data's own
 * COCO file where its annotations come from one, so that ids are those of the file and the numbers those of
 * pycocotools on it; else the labels, with ids made from file names and class numbers.
 */
export class CocoResults {
  readonly detections: CocoDetection[] = [];
  private readonly names: readonly string[];
  private readonly truth: CocoTruth | null;
  private readonly ids: ReadonlyMap<string, CocoImageId>;
  private readonly categories: readonly number[];
  private readonly images: { id: CocoImageId }[] = [];
  private readonly annotations: CocoAnnotation[] = [];

  private constructor(names: readonly string[], truth: CocoTruth | null) {
    this.names = names;
    this.truth = truth;
    this.ids = new Map(truth?.images.map((image) => [path.normalize(image.file_name), image.id]));
    const own = new Map(truth?.categories.map(({ id, name }) => [name, id]));
    // A class that the file does not know can have no annotation there, and no number of another class.
    this.categories = truth === null ? categoryIds(names) : names.map((name) => own.get(name) ?? -1);
  }

  /** For a split of a data set whose classes are its own. */
  static async of(data: DataSet, split: Split, singleCls: boolean): Promise<CocoResults> {
    const [source, ...others] = data.splits[split.name] ?? [];
    const place = source === undefined ? '' : placeOf(source);
    const single = others.length === 0 && path.extname(place).toLowerCase() === '.json' && !singleCls;
    // It has been read and found sound with the labels.
    const truth = single ? (JSON.parse(await readFile(place, 'utf8')) as CocoTruth) : null;
    return new CocoResults(split.names, truth);
  }

  readonly add = (image: ValImage, detections: Detections): void => {
    const id = this.idOf(image.path);
    const name = path.basename(image.path);
    this.images.push({ id });
    for (const found of toCocoDetections(id, name, detections, this.categories)) this.detections.push(found);
    if (this.truth !== null) return;
    for (const target of toCocoAnnotations(id, targetsOf(image), this.categories))
      this.annotations.push(target);
  };

  /** The twelve numbers over the images that were added. */
  stats(): CocoStats {
    return cocoStats(this.groundTruth(), this.detections);
  }

  private groundTruth(): CocoGroundTruth {
    const { images, truth } = this;
    const categories = this.names.map((name, i) => ({ id: this.categories[i]!, name }));
    if (truth === null) return { images, annotations: this.annotations, categories };
    const evaluated = new Set(images.map(({ id }) => id));
    const annotations = truth.annotations
      .filter((annotation) => evaluated.has(annotation.image_id))
      .map((annotation) => ({
        ...annotation,
        area: annotation.area ?? annotation.bbox[2] * annotation.bbox[3],
      }));
    return { images, annotations, categories };
  }

  /** The file names images by the last parts of their paths. */
  private idOf(file: string): CocoImageId {
    const parts = file.split(path.sep);
    for (let from = parts.length - 1; from >= 0 && this.truth !== null; from--) {
      const id = this.ids.get(parts.slice(from).join(path.sep));
      if (id !== undefined) return id;
    }
    return cocoImageId(file);
  }
}
