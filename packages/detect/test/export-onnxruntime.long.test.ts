import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { before, test } from 'node:test';
import { noGrad, scope, tensor } from '@mezzo/torch';
import { findRuntime } from '../src/export/runtime.ts';
import { verifyOnnx } from '../src/export/verify.ts';
import { generateShapes, type OnnxOptions, onnxModel } from '../src/index.ts';
import { buildModel } from '../src/models/build.ts';
import { formulaWeights } from './formula.ts';
import { scratchFolder } from './scratch.ts';

const folder = scratchFolder();
const pictures = path.join(folder, 'shapes', 'images', 'train');
const SUPPRESSION = { conf: 0.05, iou: 0.5, maxDet: 100 };

before(async () => {
  // 290 MB, too much for everybody's node_modules: where it is missing, this campaign fetches it for itself.
  if ('absent' in (await findRuntime())) {
    const place = ['--prefix', folder, '--no-save', '--ignore-scripts', '--loglevel=error'];
    execFileSync('npm', ['install', ...place, 'onnxruntime-node@1.30.0'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    process.chdir(folder);
  }
  const found = await findRuntime();
  assert.ok('runtime' in found, 'absent' in found ? found.absent : '');
  await generateShapes({ out: path.join(folder, 'shapes'), train: 20, val: 1, imgsz: 160, seed: 2 });
});

const VARIANTS: readonly [name: string, changes: Partial<OnnxOptions>][] = [
  ['static', {}],
  ['batch of 4', { batch: 4 }],
  ['dynamic', { dynamic: true }],
  ['opset 21', { opset: 21, dynamic: true }],
  ['fp16', { half: true }],
  ['suppression', { nms: { ...SUPPRESSION, agnostic: false } }],
  ['dynamic, agnostic suppression', { dynamic: true, nms: { ...SUPPRESSION, agnostic: true } }],
];

for (const [name, ch] of [
  ['yolov8n', 3],
  ['yolov8n', 1],
  ['yolo11n', 3],
  ['yolov5nu', 3],
  ['yolov5n', 3],
] as const) {
  test(`${name}, ${ch} channels: onnxruntime computes what the model does on 20 pictures`, async () => {
    const model = buildModel(name, { nc: 3, ch }).eval();
    scope(() =>
      noGrad(() => {
        for (const [key, target] of Object.entries(model.stateDict())) {
          if (!key.endsWith('.anchors')) {
            target.copy_(tensor(formulaWeights(key, target.shape, 1.2)).view(target.shape));
          }
        }
      }),
    );
    for (const [variant, changes] of VARIANTS) {
      const options = {
        ...{ imgsz: 160, batch: 1, dynamic: false, half: false, opset: 17, version: '0', nms: null },
        ...changes,
      };
      const result = await verifyOnnx(model, onnxModel(model, options), options, pictures);
      assert.ok(result.verified, variant);
      assert.equal(result.images, 20);
      if (options.nms !== null) assert.ok(result.detections! > 0, `${variant}: boxes were compared`);
    }
  });
}
