import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findAnchors, possibleRecall, type Sides } from '../src/assign/auto-anchor.ts';
import { CounterRandom } from '../src/augment/random.ts';
import type { Split } from '../src/data/scan.ts';
import type { TrainEvent } from '../src/engine/event.ts';
import { fitAnchors } from '../src/engine/fit-anchors.ts';
import { AnchorDetect } from '../src/models/anchor-detect.ts';
import { buildModel } from '../src/models/build.ts';

const CENTRES: readonly Sides[] = [
  [4, 4],
  [6, 12],
  [14, 7],
  [20, 20],
  [30, 60],
  [60, 30],
  [100, 100],
  [150, 280],
  [300, 160],
];

/** Boxes within 5 % around nine sizes. */
function clusters(perCentre = 40): Sides[] {
  const random = new CounterRandom(7, 'shapes', 0, 0);
  const around = (side: number) => side * random.between(0.95, 1.05);
  return CENTRES.flatMap(([w, h]) => Array.from({ length: perCentre }, (): Sides => [around(w), around(h)]));
}

test('best possible recall counts the boxes that an anchor may learn', () => {
  const anchors: Sides[] = [[10, 10]];
  const boxes: Sides[] = [
    [10, 10],
    [39, 10],
    [40, 10],
    [10, 2],
  ];
  assert.equal(possibleRecall(boxes, anchors, 4), 0.5);
  assert.equal(possibleRecall([], anchors, 4), 1);
});

test('anchors are found that fit the boxes, sorted by area, the same for the same seed', () => {
  const boxes = clusters();
  const search = { count: 9, limit: 4, seed: 3 };
  const found = findAnchors(boxes, search)!;
  assert.equal(found.length, 9);
  assert.equal(possibleRecall(boxes, found, 4), 1);
  const areas = found.map(([w, h]) => w * h);
  assert.deepEqual(
    areas,
    [...areas].sort((a, b) => a - b),
  );
  assert.deepEqual(findAnchors(boxes, search), found);
  assert.notDeepEqual(findAnchors(boxes, { ...search, seed: 4 }), found);
});

test('mutation only ever improves the fit', () => {
  const boxes = clusters();
  const fit = (anchors: readonly Sides[]) =>
    boxes.reduce((sum, [w, h]) => {
      const each = anchors.map(([a, b]) => Math.min(w / a, a / w, h / b, b / h));
      return sum + Math.max(...each);
    }, 0) / boxes.length;
  const search = { count: 9, limit: 4, seed: 3 };
  const start = fit(findAnchors(boxes, { ...search, generations: 0 })!);
  const end = fit(findAnchors(boxes, search)!);
  assert.ok(end > start, `${end} after ${start}`);
});

test('fewer sizes than anchors: none are found', () => {
  assert.equal(
    findAnchors(
      [
        [5, 5],
        [5, 5],
        [6, 6],
      ],
      { count: 3, limit: 4, seed: 0 },
    ),
    null,
  );
});

const image = (sides: readonly Sides[]) => ({
  path: 'a.png',
  width: 640,
  height: 320,
  labels: Float32Array.from(sides.flatMap(([w, h]) => [0, 0.5, 0.5, w / 640, h / 320])),
});

function fitted(sides: readonly Sides[], options: { noautoanchor?: boolean } = {}) {
  const model = buildModel('yolov5n', { nc: 2 });
  const texts: string[] = [];
  const emit = (event: TrainEvent) => texts.push(event.event === 'message' ? event.text : event.event);
  const split = { images: [image(sides)] } as unknown as Split;
  const settings = { imgsz: 640, anchor_t: 4, seed: 0, noautoanchor: options.noautoanchor ?? false };
  fitAnchors(model, split, settings, emit);
  assert.ok(model.head instanceof AnchorDetect);
  return { anchors: model.head.pixels.flat(), texts };
}

const PUBLISHED = [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326];

test('AutoAnchor keeps anchors that fit', () => {
  const { anchors, texts } = fitted([
    [20, 20],
    [100, 60],
  ]);
  assert.deepEqual(anchors, PUBLISHED);
  assert.deepEqual(texts, ['AutoAnchor: the anchors fit 100.0 % of 2 boxes']);
});

test('AutoAnchor replaces anchors that do not, level by level, and says so', () => {
  const tiny = Array.from({ length: 60 }, (_, i): Sides => [2 + (i % 10) / 10, 2 + (i % 6) / 10]);
  const { anchors, texts } = fitted(tiny);
  assert.equal(anchors.length, 18);
  assert.ok(anchors.every((side) => side >= 1.9 && side < 4));
  assert.match(
    texts.join(),
    /^AutoAnchor: the anchors fit only 0\.0 % of 60 boxes; (\d,\d ){9}fit 100\.0 %$/,
  );
  assert.deepEqual(fitted(tiny, { noautoanchor: true }), { anchors: PUBLISHED, texts: [] });
});

test('AutoAnchor without enough different boxes keeps what there is', () => {
  const { anchors, texts } = fitted([[2, 2]]);
  assert.deepEqual(anchors, PUBLISHED);
  assert.deepEqual(texts, [
    'AutoAnchor: the anchors fit 0.0 % of 1 boxes, and none were found that fit more',
  ]);
});
