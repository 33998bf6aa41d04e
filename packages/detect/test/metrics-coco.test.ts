import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type CocoStats, cocoStats } from '../src/metrics/coco.ts';
import { categoryIds } from '../src/metrics/coco-categories.ts';
import {
  type CocoDetection,
  type CocoGroundTruth,
  cocoImageId,
  toCocoAnnotations,
  toCocoDetections,
} from '../src/metrics/coco-format.ts';
import { bccd, bccdImages } from './bccd.ts';
import { readFixture } from './fixture.ts';

interface CocoGolden {
  bccd: { pycocotools: { stats: number[]; per_class: Record<string, number[]> } };
}

const NAMES: (keyof CocoStats)[] = [
  'AP',
  'AP50',
  'AP75',
  'APs',
  'APm',
  'APl',
  'AR1',
  'AR10',
  'AR100',
  'ARs',
  'ARm',
  'ARl',
];

function assertStats(stats: CocoStats, expected: readonly number[]): void {
  NAMES.forEach((name, i) => {
    assert.ok(Math.abs(stats[name] - expected[i]!) <= 1e-9, `${name}: ${stats[name]} is not ${expected[i]}`);
  });
}

describe('cocoStats', () => {
  const { stats, per_class } = readFixture<CocoGolden>('metrics.json').bccd.pycocotools;

  it("gives pycocotools' numbers on BCCD", () => {
    assertStats(cocoStats(bccd.groundTruth, bccd.detections), stats);
  });

  bccd.groundTruth.categories.forEach((category) => {
    it(`gives pycocotools' numbers for ${category.name} alone`, () => {
      const groundTruth = { ...bccd.groundTruth, categories: [category] };
      assertStats(cocoStats(groundTruth, bccd.detections), per_class[category.name]!);
    });
  });

  it('treats crowds, equal scores, size limits and more than 100 detections as pycocotools does', () => {
    const set = readFixture<{ groundTruth: CocoGroundTruth; detections: CocoDetection[]; stats: number[] }>(
      'coco_crowd.json',
    );
    assertStats(cocoStats(set.groundTruth, set.detections), set.stats);
  });

  it('is -1 for sizes that do not occur', () => {
    const groundTruth = {
      images: [{ id: 1 }],
      annotations: [{ image_id: 1, category_id: 1, bbox: [0, 0, 10, 10] as const, area: 100 }],
      categories: [{ id: 1, name: 'a' }],
    };
    const { APs, APm, APl, AR100 } = cocoStats(groundTruth, []);
    assert.deepEqual({ APs, APm, APl, AR100 }, { APs: 0, APm: -1, APl: -1, AR100: 0 });
  });

  it('refuses a detection on an unknown image', () => {
    const stray = [{ image_id: 4711, category_id: 1, bbox: [0, 0, 5, 5] as const, score: 0.5 }];
    assert.throws(() => cocoStats(bccd.groundTruth, stray), {
      code: 'UNKNOWN_IMAGE',
      message: 'detection on image 4711, which the ground truth does not list',
    });
  });
});

describe('COCO records', () => {
  it('evaluate to the same numbers when made from boxes, within their rounding', () => {
    const images = bccdImages();
    const categories = categoryIds(bccd.names);
    const ids = images.map((_, i) => cocoImageId(`images/test/${String(i + 1).padStart(12, '0')}.jpg`));
    const groundTruth = {
      images: ids.map((id) => ({ id })),
      annotations: images.flatMap(({ targets }, i) => toCocoAnnotations(ids[i]!, targets, categories)),
      categories: bccd.groundTruth.categories,
    };
    const detections = images.flatMap(({ detections }, i) =>
      toCocoDetections(ids[i]!, '', detections, categories),
    );
    const made = cocoStats(groundTruth, detections);
    const read = cocoStats(bccd.groundTruth, bccd.detections);
    for (const name of NAMES) assert.ok(Math.abs(made[name] - read[name]) < 1e-3, `${name}: ${made[name]}`);
  });

  it('round boxes to 3 decimals and scores to 5', () => {
    const detections = {
      count: 1,
      boxes: Float32Array.of(1.23456, 2, 11.98765, 22.5),
      conf: Float32Array.of(0.1234567),
      cls: Int32Array.of(2),
    };
    assert.deepEqual(toCocoDetections('a', 'a.jpg', detections, [1, 2, 90]), [
      { image_id: 'a', file_name: 'a.jpg', category_id: 90, bbox: [1.235, 2, 10.753, 20.5], score: 0.12346 },
    ]);
  });

  it("have COCO's own category numbers for its 80 classes, and numbers from 1 for others", () => {
    assert.deepEqual(categoryIds(['a', 'b']), [1, 2]);
    const names = readFileSync(new URL('../../test/fixtures/coco-names.txt', import.meta.url), 'utf8')
      .trim()
      .split('\n');
    assert.equal(names.length, 80);
    const ids = categoryIds(names);
    const missing = Array.from({ length: 90 }, (_, i) => i + 1).filter((id) => !ids.includes(id));
    assert.deepEqual(missing, [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]);
    assert.deepEqual([ids[0], ids[11], ids[79]], [1, 13, 90]);
    assert.deepEqual(categoryIds([...names].reverse()).slice(0, 3), [1, 2, 3]);
  });

  it('take the image id from the file name', () => {
    assert.equal(cocoImageId('/data/val/000000000139.jpg'), 139);
    assert.equal(cocoImageId('val/BloodImage_00007.v2.jpg'), 'BloodImage_00007.v2');
  });
});
