import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSafetensors, scope, type Tensor, tensor } from '@mezzo/torch';
import type { CentreRule, Targets } from '../src/assign/candidates.ts';
import { TaskAlignedAssigner } from '../src/assign/task-aligned.ts';
import { assertAllClose, fixturePath, readGolden, values } from './golden.ts';

interface AssignerGolden {
  cases: Record<string, { batch: number; n_max: number }>;
  topk: number;
  alpha: number;
  beta: number;
  eps: number;
  num_classes: number;
  strides: number[];
  imgsz: number;
}

const golden = readGolden<AssignerGolden>('assigner.json');
const { tensors } = loadSafetensors(fixturePath('assigner.safetensors'));
const levels = golden.strides.map((stride) => {
  const side = golden.imgsz / stride;
  return { height: side, width: side, stride };
});
const anchors = levels.reduce((sum, { height, width }) => sum + height * width, 0);
const rules: Record<CentreRule, string> = { noInflate: 'no_inflate', inflate16: 'inflate16' };

for (const [name, { batch, n_max }] of Object.entries(golden.cases)) {
  for (const [centreRule, variant] of Object.entries(rules) as [CentreRule, string][]) {
    test(`assigner: ${name}, ${variant}`, () => {
      const of = (part: string): Tensor => tensors[`${name}.${part}`]!;
      const { targets, place } = targetsOf(batch, n_max, of);
      const assigner = new TaskAlignedAssigner({ ...golden, centreRule });
      const logits = logit(of('pd_scores'));
      const boxes = tensor(targets.boxes).view([targets.count, 4]);
      const found = assigner.assign(logits, of('pd_bboxes'), boxes, targets, levels);

      const foreground = new Float64Array(batch * anchors);
      const owner = new Float64Array(batch * anchors);
      const scores = new Float64Array(batch * anchors * golden.num_classes);
      if (found !== null) {
        const [anchor, target, score, used, weight] = [
          found.anchor,
          found.target,
          found.score,
          found.used,
          found.weight,
        ].map(values);
        used!.forEach((isUsed, slot) => {
          if (isUsed === 0) return;
          assert.equal(foreground[anchor![slot]!], 0, 'an anchor is used once');
          foreground[anchor![slot]!] = 1;
          owner[anchor![slot]!] = place[target![slot]!]!;
          scores[score![slot]!] = weight![slot]!;
          assert.equal(score![slot], anchor![slot]! * golden.num_classes + targets.cls[target![slot]!]!);
        });
      }
      assert.deepEqual(foreground, values(of(`${variant}.fg_mask`)));
      assert.deepEqual(owner, values(of(`${variant}.target_gt_idx`)));
      assertAllClose(scores, values(of(`${variant}.target_scores`)), { abs: 1e-5 }, 'score');
      checkOwnBoxes(of(`${variant}.target_labels`), of(`${variant}.target_bboxes`), foreground, owner, {
        batch,
        targets,
        place,
      });
    });
  }
}

/** The reference pads the boxes of each image to one number; `place` is a target's row there. */
function targetsOf(
  batch: number,
  most: number,
  of: (part: string) => Tensor,
): { targets: Targets; place: number[] } {
  const [labels, boxes, valid] = ['gt_labels', 'gt_bboxes', 'mask_gt'].map((part) => values(of(part)));
  const rows = Array.from({ length: batch * most }, (_, row) => row).filter((row) => valid![row] !== 0);
  const targets: Targets = {
    count: rows.length,
    image: Int32Array.from(rows, (row) => Math.floor(row / most)),
    cls: Int32Array.from(rows, (row) => labels![row]!),
    boxes: Float32Array.from(rows.flatMap((row) => Array.from(boxes!.subarray(4 * row, 4 * row + 4)))),
  };
  return { targets, place: rows.map((row) => row % most) };
}

/** The reference's labels and boxes of foreground anchors are those of the target that owns the anchor. */
function checkOwnBoxes(
  labels: Tensor,
  boxes: Tensor,
  foreground: Float64Array,
  owner: Float64Array,
  { batch, targets, place }: { batch: number; targets: Targets; place: number[] },
): void {
  const [label, box] = [values(labels), values(boxes)];
  for (let anchor = 0; anchor < batch * anchors; anchor++) {
    if (foreground[anchor] === 0) continue;
    const image = Math.floor(anchor / anchors);
    const target = place.findIndex((row, i) => targets.image[i] === image && row === owner[anchor]);
    assert.equal(label[anchor], targets.cls[target]);
    assert.deepEqual(
      Array.from(box.subarray(4 * anchor, 4 * anchor + 4)),
      Array.from(targets.boxes.subarray(4 * target, 4 * target + 4)),
    );
  }
}

/** The assigner takes logits, the reference file holds probabilities. */
function logit(probability: Tensor): Tensor {
  return scope(() => probability.div(probability.rsub(1)).log());
}
