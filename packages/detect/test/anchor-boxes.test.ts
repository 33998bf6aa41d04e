import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Tensor, tensor, zeros } from '@mezzo/torch';
import { MaxIouAssigner } from '../src/assign/max-iou.ts';
import { sigmoidFocalLoss } from '../src/loss/focal.ts';
import { levelsOf } from '../src/models/anchors.ts';
import { decodeBoxes, encodeBoxes } from '../src/models/box-deltas.ts';
import { joinLevels } from '../src/models/decode.ts';
import { pyramidAnchors } from '../src/models/pyramid-anchors.ts';
import { assertAllClose, readGolden, values } from './golden.ts';

interface Golden {
  focal: {
    alpha: number | null;
    gamma: number;
    logits: number[];
    targets: number[];
    loss: number[];
    grad: number[];
  }[];
  coding: Record<'anchors' | 'boxes' | 'deltas' | 'wild' | 'decoded', number[]>;
  assignment: { anchors: number[]; boxes: number[][]; matched: number[][]; strict: number[][] };
}

const golden = readGolden<Golden>('anchor_boxes.json');
const rows = (flat: readonly number[]): Tensor => tensor([...flat]).view(-1, 4);
const close = (actual: Tensor, expected: readonly number[], what: string) =>
  assertAllClose(values(actual), Float64Array.from(expected), { abs: 1e-5, rel: 1e-5 }, what);

describe('focal loss', () => {
  for (const { alpha, gamma, logits, targets, loss, grad } of golden.focal) {
    it(`is torchvision's, alpha ${alpha}, gamma ${gamma}`, () => {
      const x = tensor(logits).requiresGrad_();
      const found = sigmoidFocalLoss(x, tensor(targets), { alpha, gamma });
      close(found, loss, 'loss');
      found.sum().backward();
      close(x.grad!, grad, 'gradient');
    });
  }

  it('is computed in fp32 from low precision', () => {
    assert.equal(sigmoidFocalLoss(zeros([2], { dtype: 'bfloat16' }), zeros([2])).dtype, 'float32');
  });
});

describe('box deltas', () => {
  const { anchors, boxes, deltas, wild, decoded } = golden.coding;

  it("are torchvision's", () => {
    close(encodeBoxes(rows(boxes), rows(anchors)), deltas, 'deltas');
    close(decodeBoxes(rows(wild), rows(anchors)), decoded, 'boxes');
  });

  it('give centre and size on request, for a batch at a time', () => {
    const batch = rows(deltas).unsqueeze(0).expand(2, -1, -1);
    const [centre, size] = decodeBoxes(batch, rows(anchors), 'xywh').chunk(2, -1) as [Tensor, Tensor];
    close(
      centre.sub(size.div(2)).select(0, 1),
      boxes.filter((_, i) => i % 4 < 2),
      'left and top',
    );
    close(
      centre.add(size.div(2)).select(0, 1),
      boxes.filter((_, i) => i % 4 > 1),
      'right and bottom',
    );
  });
});

describe('MaxIouAssigner', () => {
  const { anchors, boxes, matched, strict } = golden.assignment;
  const classes = [
    [5, 6, 7],
    [8, 0, 0],
    [0, 0, 0],
  ];
  const nothing: number[] = Array(anchors.length / 4).fill(-1);
  // The third image holds nothing; shorter ones are filled up.
  const truth = tensor([...boxes, []].map((image) => [...image, ...Array(12 - image.length).fill(0)])).view(
    3,
    3,
    4,
  );

  for (const [keepBest, expected] of [
    [true, matched],
    [false, strict],
  ] as const) {
    it(`matches as torchvision's Matcher ${keepBest ? 'with' : 'without'} the best of each box`, () => {
      const found = new MaxIouAssigner({ keepBest }).assign(
        rows(anchors),
        truth,
        tensor(classes, { dtype: 'int64' }),
      );
      for (const [image, match] of [...expected, nothing].entries()) {
        const of = (part: Tensor) => [...values(part.select(0, image))];
        assert.deepEqual(
          of(found.positive),
          match.map((box) => (box >= 0 ? 1 : 0)),
        );
        assert.deepEqual(
          of(found.ignored),
          match.map((box) => (box === -2 ? 1 : 0)),
        );
        const learned = of(found.classes).map((cls, a) => (match[a]! >= 0 ? cls : -1));
        assert.deepEqual(
          learned,
          match.map((box) => (box >= 0 ? classes[image]![box]! : -1)),
        );
        const expectedBoxes = match.flatMap((box, a) => [
          ...(box >= 0 ? boxes[image]!.slice(4 * box, 4 * box + 4) : anchors.slice(4 * a, 4 * a + 4)),
        ]);
        close(found.boxes.select(0, image), expectedBoxes, 'boxes');
      }
    });
  }

  it('leaves no delta that is not finite, also in an image without boxes', () => {
    const { boxes: learned } = new MaxIouAssigner().assign(rows(anchors), truth, tensor(classes));
    assert.ok(encodeBoxes(learned, rows(anchors)).isfinite().all().item());
  });
});

describe('pyramid anchors', () => {
  it('have the sizes and proportions of RetinaNet', () => {
    const found = values(pyramidAnchors([{ stride: 8, height: 1, width: 1 }]));
    const sides = Array.from({ length: 9 }, (_, i) => [
      found[4 * i + 2]! - found[4 * i]!,
      found[4 * i + 3]! - found[4 * i + 1]!,
    ]);
    for (const [i, [width, height]] of sides.entries()) {
      const area = (32 * 2 ** (Math.floor(i / 3) / 3)) ** 2;
      assert.ok(Math.abs(width! * height! - area) < 1e-3, `area ${i}`);
      assert.ok(Math.abs(height! / width! - [0.5, 1, 2][i % 3]!) < 1e-5, `ratio ${i}`);
    }
  });

  it('come in the order in which the maps are joined', () => {
    const anchors = pyramidAnchors(
      [
        { stride: 8, height: 2, width: 3 },
        { stride: 16, height: 1, width: 2 },
      ],
      { side: 1, scales: [1, 2], ratios: [1] },
    );
    // Two anchors a cell, two values each: x and side of the cell's square, written by convolution's channel order.
    const cell = (height: number, width: number, stride: number) =>
      tensor(
        [1, 2].flatMap((scale) => [
          Array.from({ length: height }, () => Array.from({ length: width }, (_, x) => (x + 0.5) * stride)),
          Array.from({ length: height }, () => Array.from({ length: width }, () => scale * stride)),
        ]),
      ).unsqueeze(0);
    const maps = [cell(2, 3, 8), cell(1, 2, 16)];
    assert.deepEqual(levelsOf(maps, [8, 16])[1], { stride: 16, height: 1, width: 2 });
    const joined = joinLevels(maps).reshape(-1, 2);
    const [x1, , x2] = anchors.unbind(1) as [Tensor, Tensor, Tensor, Tensor];
    close(joined.select(1, 0), [...values(x1.add(x2).div(2))], 'centres');
    close(joined.select(1, 1), [...values(x2.sub(x1))], 'sides');
  });
});
