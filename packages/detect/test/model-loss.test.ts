import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scope, setNumThreads } from '@mezzo/torch';
import type { CentreRule } from '../src/assign/candidates.ts';
import { TaskAlignedAssigner } from '../src/assign/task-aligned.ts';
import { DetectionLoss } from '../src/loss/detection.ts';
import { foregroundPerTarget } from './foreground.ts';
import {
  assertChecksum,
  assertClose,
  type Checksum,
  formulaModel,
  inputTensor,
  readGolden,
  values,
} from './golden.ts';

interface TrainGolden {
  fg_per_image: number[];
  fg_per_image_per_gt: number[][];
  target_scores_sum: number;
  items: { box: number; cls: number; dfl: number };
  total: number;
  grads: Record<string, Checksum>;
  grad_total_l2: number;
  analytically_zero_grads: string[];
}

interface ModelGolden {
  nc: number;
  ch: number;
  imgsz: number;
  batch: number;
  input_key: string;
  gain: number;
  targets: { rows: number[][] };
  loss_gains: { box: number; cls: number; dfl: number };
  train: Record<'no_inflate' | 'inflate16', TrainGolden>;
}

const golden = readGolden<ModelGolden>('models/yolov8n.json');
const rules: [CentreRule, keyof ModelGolden['train']][] = [
  ['noInflate', 'no_inflate'],
  ['inflate16', 'inflate16'],
];

setNumThreads(1);

for (const [name, centreRule, variant] of ['yolov8n', 'yolov5nu', 'yolo11n'].flatMap((name) =>
  rules.map((rule) => [name, ...rule] as const),
)) {
  const golden = readGolden<ModelGolden>(`models/${name}.json`);
  const rows = Float32Array.from(golden.targets.rows.flat());
  test(`${name}, ${variant}: loss items, total, foreground and the gradient of every parameter`, () => {
    scope(() => {
      const expected = golden.train[variant];
      const model = formulaModel(name, golden).train();
      const loss = new DetectionLoss({
        nc: golden.nc,
        strides: model.strides,
        gains: golden.loss_gains,
        assigner: new TaskAlignedAssigner({ centreRule }),
      });
      const input = inputTensor(golden.input_key, [golden.batch, golden.ch, golden.imgsz, golden.imgsz]);
      const { total, items, assignment } = loss.forward(model.maps(input), rows);
      const [box, cls, dfl] = values(items);
      for (const [item, found] of Object.entries({ box, cls, dfl })) {
        assertClose(found!, expected.items[item as 'box' | 'cls' | 'dfl'], { rel: 1e-4 }, item);
      }
      assertClose(total.item() as number, expected.total, { rel: 1e-4 }, 'total');
      assertClose(
        assignment!.weight.sum().item() as number,
        expected.target_scores_sum,
        { rel: 1e-4 },
        'score sum',
      );
      const perTarget = foregroundPerTarget(assignment, golden.targets.rows);
      assert.deepEqual(perTarget, expected.fg_per_image_per_gt);

      total.backward();
      const zeros = new Set(expected.analytically_zero_grads);
      const gradients = [...model.namedParameters()].filter(([, parameter]) => parameter.grad !== null);
      assert.deepEqual(new Set(gradients.map(([key]) => key)), new Set(Object.keys(expected.grads)));
      let squares = 0;
      for (const [key, { grad }] of gradients) {
        squares += values(grad!).reduce((sum, x) => sum + x * x, 0);
        if (zeros.has(key)) assertClose(grad!.norm().item() as number, 0, { abs: 1e-3 }, key);
        else assertChecksum(grad!, expected.grads[key]!, 1e-3, key);
      }
      assertClose(Math.sqrt(squares), expected.grad_total_l2, { rel: 1e-3 }, 'gradient norm');
    });
  });
}

test('without boxes only the class term is left, and the box branch gets no gradient', () => {
  scope(() => {
    const model = formulaModel('yolov8n', golden).train();
    const loss = new DetectionLoss({ nc: golden.nc, strides: model.strides });
    const maps = model.maps(inputTensor(golden.input_key, [golden.batch, golden.ch, 64, 64]));
    const { total, items, assignment } = loss.forward(maps, new Float32Array(0));
    assert.equal(assignment, null);
    const [box, cls, dfl] = values(items);
    assert.deepEqual([box, dfl], [0, 0]);
    const softplus = maps.cls.flatMap((map) => Array.from(values(map), (x) => Math.log1p(Math.exp(x))));
    assertClose(cls!, 0.5 * softplus.reduce((sum, x) => sum + x, 0), { rel: 1e-5 }, 'cls');
    assertClose(total.item() as number, golden.batch * cls!, { rel: 1e-6 }, 'total');
    total.backward();
    const parameters = new Map(model.namedParameters());
    assert.equal(parameters.get('model.22.cv2.0.2.weight')!.grad, null);
    assert.notEqual(parameters.get('model.22.cv3.0.2.weight')!.grad, null);
  });
});

test('a target of an image or class that does not exist is refused', () => {
  scope(() => {
    const model = formulaModel('yolov8n', golden);
    const loss = new DetectionLoss({ nc: golden.nc, strides: model.strides });
    const maps = model.maps(inputTensor(golden.input_key, [1, golden.ch, 64, 64]));
    assert.throws(() => loss.forward(maps, Float32Array.of(0, 80, 0.5, 0.5, 0.1, 0.1)), {
      code: 'BAD_TARGETS',
      message: 'target row 0: image 0 of 1, class 80 of 80',
      hint: 'class ids run from 0 to nc - 1',
    });
    assert.throws(() => loss.forward(maps, Float32Array.of(1, 0, 0.5, 0.5, 0.1, 0.1)), {
      code: 'BAD_TARGETS',
      message: 'target row 0: image 1 of 1, class 0 of 80',
    });
  });
});
