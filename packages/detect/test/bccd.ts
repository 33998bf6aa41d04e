import type { CocoDetection, CocoGroundTruth } from '../src/metrics/coco-format.ts';
import type { Detections, Targets } from '../src/metrics/detections.ts';
import { readFixture } from './fixture.ts';

/** True and predicted boxes of the 72 test images of BCCD (MIT licence, Shenggan/BCCD_Dataset). */
export const bccd = {
  names: ['RBC', 'WBC', 'Platelets'],
  groundTruth: readFixture<CocoGroundTruth>('metrics_bccd_gt.json'),
  detections: readFixture<CocoDetection[]>('metrics_bccd_pred.json'),
};

/** The same, image by image, as a validation sees them. */
export function bccdImages(): { detections: Detections; targets: Targets }[] {
  return bccd.groundTruth.images.map(({ id }) => {
    const found = bccd.detections.filter((d) => d.image_id === id).sort((a, b) => b.score - a.score);
    return {
      detections: { ...boxesOf(found), conf: Float32Array.from(found, (d) => d.score) },
      targets: boxesOf(bccd.groundTruth.annotations.filter((a) => a.image_id === id)),
    };
  });
}

function boxesOf(items: readonly { bbox: readonly number[]; category_id: number }[]): Targets {
  return {
    count: items.length,
    boxes: Float32Array.from(items.flatMap(({ bbox: [x, y, w, h] }) => [x!, y!, x! + w!, y! + h!])),
    cls: Int32Array.from(items, (item) => item.category_id - 1),
  };
}
