import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CentreRule, enumerateCandidates, type Targets } from '../src/assign/candidates.ts';

const levels = [
  { height: 8, width: 12, stride: 8 },
  { height: 4, width: 6, stride: 16 },
  { height: 2, width: 3, stride: 32 },
];
const anchors = 8 * 12 + 4 * 6 + 2 * 3;
const CLASSES = 5;

/** Anchor numbers within the image whose centre lies in the box, by looking at every cell. */
function insideByInspection(box: readonly number[], rule: CentreRule): number[] {
  let [x1, y1, x2, y2] = box as [number, number, number, number];
  if (rule === 'inflate16' && x2 - x1 < 16) [x1, x2] = [(x1 + x2) / 2 - 8, (x1 + x2) / 2 + 8];
  if (rule === 'inflate16' && y2 - y1 < 16) [y1, y2] = [(y1 + y2) / 2 - 8, (y1 + y2) / 2 + 8];
  const inside: number[] = [];
  let anchor = 0;
  for (const { height, width, stride } of levels) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, anchor++) {
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        if (x > x1 && x < x2 && y > y1 && y < y2) inside.push(anchor);
      }
    }
  }
  return inside;
}

// Eighths of a pixel are exact in fp32, and hit cell centres often.
const coordinate = fc.integer({ min: -200, max: 1000 }).map((eighth) => eighth / 8);
const box = fc
  .tuple(coordinate, coordinate, coordinate, coordinate)
  .map(([x, y, w, h]) => [x, y, x + Math.abs(w), y + Math.abs(h)]);
const target = fc.record({ image: fc.nat(3), cls: fc.nat(CLASSES - 1), box });

for (const rule of ['noInflate', 'inflate16'] as const) {
  test(`candidates are exactly the anchors whose centre lies in the box (${rule})`, () => {
    fc.assert(
      fc.property(fc.array(target, { maxLength: 8 }), (list) => {
        const targets: Targets = {
          count: list.length,
          image: Int32Array.from(list, ({ image }) => image),
          cls: Int32Array.from(list, ({ cls }) => cls),
          boxes: Float32Array.from(list.flatMap((each) => each.box)),
        };
        const { count, widest, pairs, starts } = enumerateCandidates(targets, levels, rule);
        const expected = list.map((each) => insideByInspection(each.box, rule));
        assert.equal(count, expected.flat().length);
        assert.equal(widest, Math.max(0, ...expected.map((inside) => inside.length)));
        const row = (index: number) => Array.from(pairs.subarray(index * count, (index + 1) * count));
        const [anchorRow, targetRow, placeRow, classRow] = [row(0), row(1), row(2), row(3)];
        expected.forEach((inside, i) => {
          const { image, cls } = list[i]!;
          const from = starts[i]!;
          const to = from + inside.length;
          assert.deepEqual(
            anchorRow.slice(from, to),
            inside.map((anchor) => image * anchors + anchor),
          );
          assert.deepEqual(
            targetRow.slice(from, to),
            inside.map(() => i),
          );
          assert.deepEqual(
            placeRow.slice(from, to),
            inside.map((_, rank) => i * widest + rank),
          );
          assert.deepEqual(
            classRow.slice(from, to),
            inside.map(() => cls),
          );
        });
      }),
    );
  });
}
