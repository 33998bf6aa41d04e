import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autocast, noGrad, scope, type Tensor, tensor } from '@mezzo/torch';
import { matchAnchors } from '../src/assign/anchor-cells.ts';
import { AnchorLoss } from '../src/loss/anchor.ts';
import { AnchorDetect } from '../src/models/anchor-detect.ts';
import type { HeadMaps } from '../src/models/decode.ts';
import { assertAllClose, assertClose, values } from './golden.ts';

/** One anchor of 16 x 8 px at stride 8: 2 x 1 cells. */
const head = (nc: number): AnchorDetect => new AnchorDetect(nc, [4], [8], [[16, 8]]);

const LN3 = Math.log(3); // its sigmoid is 3/4

const filled = (shape: number[], value: (i: number) => number): Tensor =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    { shape },
  );

/** Maps of 4 x 4 cells: box logits 0, objectness 1, class logits ln 3 and 0. */
function maps(batch: number, objectness = 1): HeadMaps {
  return {
    box: [filled([batch, 1, 4, 4, 4], () => 0)],
    obj: [filled([batch, 1, 4, 4], () => objectness)],
    cls: [filled([batch, 1, 4, 4, 2], (i) => (i % 2 === 0 ? LN3 : 0))],
  };
}

/** A box at 1.3, 2.7 cells of 2 x 1 cells, class 0, on the first image. */
const ROWS = Float32Array.of(0, 0, 1.3 / 4, 2.7 / 4, 2 / 4, 1 / 4);

/** By hand: CIoU of boxes of 2 x 1 whose centres are (0.2, 0.2), (0.8, 0.2) and (0.2, 0.8) apart. */
const OVERLAPS = [1.44 / 2.56 - 0.08 / 6.28, 0.96 / 3.04 - 0.68 / 9.28, 0.36 / 3.64 - 0.68 / 8.08];

const softplus = (x: number): number => Math.log1p(Math.exp(x));

test('decoding: centre 2σ - 0.5 + cell, sides (2σ)² · anchor, scores objectness · class', () => {
  scope(() => {
    const box = filled([1, 1, 1, 2, 4], (i) => (i < 4 ? 0 : LN3));
    const obj = filled([1, 1, 1, 2], () => 0);
    const cls = filled([1, 1, 1, 2, 2], (i) => (i % 2 === 0 ? LN3 : 0));
    const decoded = head(2).decode({ box: [box], obj: [obj], cls: [cls] });
    assert.deepEqual(decoded.shape, [1, 6, 2]);
    // Columns: cell 0 with logits 0, cell 1 with logits ln 3.
    const expected = [4, 16, 4, 8, 16, 36, 8, 18, 0.375, 0.375, 0.25, 0.25];
    assertAllClose(values(decoded), expected, { abs: 1e-5 }, 'decoded');
  });
});

test('assignment: the cell of the centre and the two nearest neighbours that the map has', () => {
  const level = { height: 4, width: 4 };
  const at = (x: number, y: number) => {
    const { place } = matchAnchors(Float32Array.of(0, 0, x / 4, y / 4, 0.5, 0.25), level, [2, 1], 4);
    return Array.from(place, (cell) => [cell % 4, Math.floor(cell / 4)]);
  };
  assert.deepEqual(at(1.3, 2.7), [
    [1, 2],
    [0, 2],
    [1, 3],
  ]);
  assert.deepEqual(at(0.25, 0.25), [[0, 0]], 'at the edge there are no neighbours');
  assert.deepEqual(at(1.5, 2.5), [[1, 2]], 'in the middle none is nearer');
  assert.deepEqual(at(3.75, 1.75), [
    [3, 1],
    [3, 2],
  ]);
});

test('assignment: sides may differ by less than the factor, in both directions', () => {
  const count = (w: number, h: number) =>
    matchAnchors(Float32Array.of(0, 0, 0.375, 0.375, w / 8, h / 8), { height: 8, width: 8 }, [2, 1], 4).count;
  assert.equal(count(2, 3.9), 3);
  assert.equal(count(2, 4), 0);
  assert.equal(count(0.51, 1), 3);
  assert.equal(count(0.5, 1), 0);
  assert.equal(count(0, 1), 0, 'a box without width is learned by none');
});

test('loss: box, objectness and class by hand', () => {
  scope(() => {
    const loss = new AnchorLoss({ head: head(2), imgsz: 320 });
    const { total, items, assignment } = loss.forward(maps(2), ROWS);
    const share = OVERLAPS.reduce((sum, overlap) => sum + overlap, 0);
    const box = 0.05 * 3 * (1 - share / 3);
    // One level weighs 4, and has 3 times the gain of one of three; 320 px have a quarter of the gain of 640.
    const obj = ((1 * 3) / 4) * 4 * (softplus(1) - share / 32);
    const cls = 0.5 * 3 * (2 / 80) * ((Math.log(4) + Math.log(2) - LN3) / 2);
    assertAllClose(values(items), [box, obj, cls], { rel: 1e-5 }, 'items');
    assertClose(total.item() as number, 2 * (box + obj + cls), { rel: 1e-5 }, 'total');
    assert.deepEqual(loss.items, ['box', 'obj', 'cls']);
    assert.deepEqual(Array.from(values(assignment!.anchor)), [9, 8, 13]);
  });
});

test('loss: where two boxes meet at an anchor, its objectness learns the better overlap', () => {
  scope(() => {
    const loss = new AnchorLoss({ head: head(2), imgsz: 640 });
    const exact = Float32Array.of(0, 1, 1.5 / 4, 2.5 / 4, 2 / 4, 1 / 4);
    for (const rows of [
      [...ROWS, ...exact],
      [...exact, ...ROWS],
    ]) {
      const [, obj] = values(loss.forward(maps(1), Float32Array.from(rows)).items);
      const learned = 1 + OVERLAPS[1]! + OVERLAPS[2]!;
      assertClose(obj!, 3 * 4 * (softplus(1) - learned / 16), { rel: 1e-5 }, 'obj');
    }
  });
});

test('loss: without boxes only the objectness is left; a single class is not learned', () => {
  scope(() => {
    const loss = new AnchorLoss({ head: head(2), imgsz: 640 });
    const { items, assignment } = loss.forward(maps(1), new Float32Array(0));
    assertAllClose(values(items), [0, 12 * softplus(1), 0], { rel: 1e-6 }, 'items');
    assert.equal(assignment, null);

    const one = { ...maps(1), cls: [filled([1, 1, 4, 4, 1], () => 1)] };
    const single = new AnchorLoss({ head: head(1), imgsz: 640 }).forward(one, ROWS);
    assert.equal(values(single.items)[2], 0);
  });
});

test('loss: a target of a class that does not exist is refused', () => {
  const loss = new AnchorLoss({ head: head(2), imgsz: 640 });
  assert.throws(() => scope(() => loss.forward(maps(1), Float32Array.of(0, 2, 0.5, 0.5, 0.1, 0.1))), {
    code: 'BAD_TARGETS',
    message: 'target row 0: image 0 of 1, class 2 of 2',
  });
});

test('the loss is an fp32 island: autocast around it changes nothing', () => {
  scope(() => {
    const loss = new AnchorLoss({ head: head(2), imgsz: 640 });
    const low: HeadMaps = {
      box: [filled([1, 1, 4, 4, 4], (i) => Math.sin(i)).to('bfloat16')],
      obj: [filled([1, 1, 4, 4], (i) => Math.cos(i)).to('bfloat16')],
      cls: [filled([1, 1, 4, 4, 2], (i) => Math.sin(2 * i)).to('bfloat16')],
    };
    const wide: HeadMaps = {
      box: low.box.map((map) => map.float()),
      obj: low.obj!.map((map) => map.float()),
      cls: low.cls.map((map) => map.float()),
    };
    const around = autocast({ device: 'cpu', dtype: 'bfloat16' }, () => loss.forward(low, ROWS));
    const plain = loss.forward(wide, ROWS);
    assert.equal(around.total.dtype, 'float32');
    assert.deepEqual(values(around.items), values(plain.items));
    const decoded = autocast({ device: 'cpu', dtype: 'bfloat16' }, () => head(2).decode(low));
    assert.deepEqual(values(decoded), values(head(2).decode(wide)));
  });
});

test('extreme logits give a finite loss and finite gradients', () => {
  for (const extreme of [1e4, -1e4]) {
    scope(() => {
      const loss = new AnchorLoss({ head: head(2), imgsz: 640 });
      const leaves = Object.fromEntries(
        Object.entries(maps(1)).map(([name, levels]) => [
          name,
          (levels as Tensor[]).map((map) => noGrad(() => map.mul(0).add(extreme)).requiresGrad_(true)),
        ]),
      ) as unknown as HeadMaps;
      const { total } = loss.forward(leaves, ROWS);
      total.backward();
      assert.ok(Number.isFinite(total.item()));
      for (const leaf of [...leaves.box, ...leaves.obj!, ...leaves.cls]) {
        assert.ok(values(leaf.grad!).every(Number.isFinite), `gradients at ${extreme}`);
      }
    });
  }
});

test('a new head expects 8 objects in 640 px and equally frequent classes', () => {
  scope(() => {
    const detect = head(2);
    noGrad(() => detect.m.at(0).bias!.zero_());
    detect.initialiseBias();
    const cls = Math.log(0.6 / (2 - 0.99999));
    assertAllClose(
      values(detect.m.at(0).bias!),
      [0, 0, 0, 0, Math.log(8 / 80 ** 2), cls, cls],
      { abs: 1e-6 },
      'bias',
    );
  });
});

test('anchors are given and read in pixels, and kept in cells', () => {
  scope(() => {
    const detect = head(2);
    assert.deepEqual(Array.from(values(detect.anchors)), [2, 1]);
    detect.pixels = [[24, 40]];
    assert.deepEqual(Array.from(values(detect.anchors)), [3, 5]);
    assert.deepEqual(detect.pixels, [[24, 40]]);
    assert.deepEqual(Object.keys(detect.stateDict()), ['anchors', 'm.0.weight', 'm.0.bias']);
  });
});
