import type { Tensor } from '@mezzo/torch';
import type { HeadMaps } from '../models/decode.ts';

export interface LossResult {
  /** The value to differentiate: the items' sum times the pictures of the whole batch. */
  total: Tensor;
  /** [3] the items after their gains; detached, on the device. Of a shared batch those of all parts add up to its items. */
  items: Tensor;
  /** Which anchors learned a box, null when none did. */
  assignment: LearnedAnchors | null;
}

/** Anchors b·A + a in the order of the decoded predictions; a slot counts when `used` is 1. Both are [S]. */
export interface LearnedAnchors {
  readonly anchor: Tensor;
  readonly used: Tensor;
}

/** A batch of which each of several processes has a part, as its loss needs to know of it. */
export interface SharedBatch {
  /** Pictures of the whole batch. */
  readonly pictures: number;
  /** Makes the values those of all parts together, added up; without gradient. */
  sum(values: Tensor): Tensor;
  /** The same of numbers. */
  total(values: readonly number[]): number[];
}

/** The loss that a detector's head is trained with. */
export interface Criterion {
  /** Names of the items, in order. */
  readonly items: readonly [string, string, string];
  /** What its value depends on beside maps and labels. */
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * @param maps raw head maps of a forward in training mode
   * @param rows label rows: image index in the batch, class, centre x, centre y, width, height (relative)
   * @param shared what the maps are a part of
   */
  forward(maps: HeadMaps, rows: Float32Array, shared?: SharedBatch): LossResult;
}
