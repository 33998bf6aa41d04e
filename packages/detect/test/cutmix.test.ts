/** CutMix against what Ultralytics 8.4.190 does, run as a black box on pictures of 400 x 400 pixels. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AUGMENTATION_DEFAULTS } from '../src/augment/augmentation.ts';
import { boxesInArea, cutAreas, freeArea } from '../src/augment/cutmix.ts';
import { drawSample, type SampleDraw } from '../src/augment/draw.ts';
import { NO_AFFINE, type Rectangle } from '../src/augment/geometry.ts';
import { trainingPicture } from '../src/augment/plan.ts';
import { CounterRandom } from '../src/augment/random.ts';

const SIDE = 400;
const DRAWS = 20_000;

const drawn = Array.from({ length: DRAWS }, (_, sample) =>
  cutAreas(new CounterRandom(1, 'cutmix', 0, sample), { width: SIDE, height: SIDE }),
);
const size = ([x1, y1, x2, y2]: Rectangle) => ({ width: x2 - x1, height: y2 - y1 });
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('areas', () => {
  it('are distributed as the reference draws them: mean part, sides of those inside, how many lie inside', () => {
    const first = drawn.map(([area]) => area!);
    const part = mean(first.map((area) => (size(area).width * size(area).height) / SIDE ** 2));
    assert.ok(Math.abs(part - 0.3194) < 0.006, `mean part ${part}`);
    const inside = first.filter(([x1, y1, x2, y2]) => x1 > 0 && y1 > 0 && x2 < SIDE && y2 < SIDE);
    assert.ok(Math.abs(inside.length / DRAWS - 0.1662) < 0.01, `${inside.length} inside`);
    const sides = inside.map((area) => size(area).width / SIDE).sort((a, b) => a - b);
    const median = sides[sides.length >> 1]!;
    assert.ok(Math.abs(median - 0.39) < 0.02, `median side ${median}`);
    assert.ok(inside.every((area) => size(area).width === size(area).height && size(area).width % 2 === 0));
  });

  it('miss a box in the middle as often as the reference does in one and in three attempts', () => {
    const middle = [{ cls: 0, box: [150, 150, 250, 250] as const }];
    const none = (attempts: number) =>
      drawn.filter((areas) => freeArea(areas.slice(0, attempts), middle) === null).length / DRAWS;
    assert.ok(Math.abs(none(1) - 0.784) < 0.025, `one attempt: ${none(1)}`);
    assert.ok(Math.abs(none(3) - 0.453) < 0.025, `three attempts: ${none(3)}`);
  });

  it('are the first that no box reaches into', () => {
    const areas: Rectangle[] = [
      [0, 0, 0, 50],
      [0, 0, 60, 60],
      [100, 100, 200, 200],
      [300, 300, 400, 400],
    ];
    const box = (...corners: Rectangle) => ({ cls: 0, box: corners });
    assert.deepEqual(freeArea(areas, [box(59, 59, 70, 70)]), areas[2]);
    assert.deepEqual(freeArea(areas, [box(60, 60, 70, 70)]), areas[1]);
    assert.equal(freeArea(areas, [box(0, 0, 400, 400)]), null);
  });
});

describe('boxes of the other picture', () => {
  it('come along when a tenth of them lies in the area, cut at its edge', () => {
    const box: Rectangle = [100, 100, 300, 300];
    assert.deepEqual(boxesInArea([{ cls: 7, box }], [141, 235, 359, 400]), [
      { cls: 7, box: [141, 235, 300, 300] },
    ]);
    assert.deepEqual(boxesInArea([{ cls: 7, box }], [280, 100, 400, 300]), [
      { cls: 7, box: [280, 100, 300, 300] },
    ]);
    assert.deepEqual(boxesInArea([{ cls: 7, box }], [281, 100, 400, 300]), []);
  });
});

describe('the picture', () => {
  const image = (level: number, labels: number[]) => ({
    source: { pixels: new Uint8Array(SIDE * SIDE * 3).fill(level), width: SIDE, height: SIDE },
    labels: Float32Array.from(labels),
  });
  const shape = { imgsz: SIDE, output: { width: SIDE, height: SIDE }, channels: 3 };
  const layer = { mosaic: null, affine: NO_AFFINE };
  const draw: SampleDraw = {
    layer,
    mixup: null,
    cutmix: { partner: 0, layer, areas: [[200, 100, 400, 300]] },
    colour: null,
    flipud: false,
    fliplr: false,
    bgr: false,
  };
  const CUT = [10, 11, 12, 13];

  it('shows the area of the other one, with its boxes after its own, both mirrored', () => {
    const layers = {
      own: [image(10, [1, 0.125, 0.5, 0.25, 1])],
      cutmix: [image(200, [2, 0.75, 0.5, 0.5, 0.25])],
    };
    const { job, labels } = trainingPicture({ ...draw, fliplr: true }, layers, shape);
    assert.deepEqual(
      CUT.map((i) => job.numbers[i]),
      [0, 100, 200, 300],
    );
    assert.deepEqual(Array.from(labels), [1, 0.875, 0.5, 0.25, 1, 2, 0.25, 0.5, 0.5, 0.25]);
  });

  it('stays as it is without a free area, and where the area brings no object', () => {
    const cases = [
      { own: [image(10, [1, 0.75, 0.5, 0.25, 1])], cutmix: [image(200, [2, 0.75, 0.5, 0.5, 0.25])] },
      { own: [image(10, [])], cutmix: [image(200, [2, 0.1, 0.1, 0.1, 0.1])] },
    ];
    for (const layers of cases) {
      const { job, labels } = trainingPicture(draw, layers, shape);
      assert.deepEqual(
        CUT.map((i) => job.numbers[i]),
        [0, 0, 0, 0],
      );
      assert.equal(labels.length, layers.own[0]!.labels.length);
    }
  });

  it('leaves the draws of every other augmentation alone', () => {
    const context = { seed: 3, epoch: 2, sample: 5, imgsz: SIDE, pool: 8 };
    const without = drawSample({ ...context, augment: { ...AUGMENTATION_DEFAULTS, mixup: 1 } });
    const { cutmix, ...rest } = drawSample({
      ...context,
      augment: { ...AUGMENTATION_DEFAULTS, mixup: 1, cutmix: 1 },
    });
    assert.notEqual(cutmix, null);
    assert.deepEqual({ ...rest, cutmix: null }, without);
  });
});
