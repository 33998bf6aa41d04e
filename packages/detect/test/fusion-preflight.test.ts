import assert from 'node:assert/strict';
import { test } from 'node:test';
import { preflight } from '@mezzo/precision';
import { manualSeed, setNumThreads } from '@mezzo/torch';
import { choosePrecision, DetectionLoss, detectorSubject, syntheticBatch } from '../src/index.ts';
import { ALL_FUSIONS, dualModel } from './fusion.ts';

setNumThreads(1);

// On the 2 x 2 cells that 64 px leave of the coarsest level, an untrained network with attention is all rounding.
const SIZES = { yolov8: { imgsz: 64, batch: 2 }, yolo11: { imgsz: 128, batch: 2 } } as const;

for (const { fusion, blocks } of ALL_FUSIONS) {
  const infrared = blocks === 'yolov8' ? 1 : 3;
  test(`${fusion}, ${blocks}, infrared of ${infrared}: the check before a training passes in bf16`, () => {
    manualSeed(0);
    const model = dualModel({ fusion, blocks, channels: [3, infrared] }).train();
    model.to({ memoryFormat: 'channels_last' });
    const loss = new DetectionLoss({ nc: 3, strides: model.strides });
    const precision = choosePrecision('bf16', 'cpu', true);
    const parts = { model, loss, device: 'cpu', precision, frozen: [] } as const;
    const { batch, imgsz } = SIZES[blocks];
    const report = preflight(detectorSubject(parts, syntheticBatch(batch, model.ch, imgsz, 3)));
    assert.equal(report.line, 'AMP: checks passed', JSON.stringify(report.findings));
    assert.equal(report.verdict, 'sound');
  });
}
