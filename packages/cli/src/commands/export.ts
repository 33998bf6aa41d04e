import type { ExportReport } from '@mezzo/detect';
import { COMMAND_LINE_OPTIONS, joinLayers, resolveSettings } from '@mezzo/detect/config';
import type { Command } from '../command.ts';
import { openDetector } from '../detector.ts';
import { exportLines } from '../export-view.ts';
import { UsageError } from '../failure.ts';

export const exportCommand: Command = {
  name: 'export',
  usage: ['mezzo export model=WEIGHTS.safetensors [format=onnx] [imgsz=640] [option=value …]'],
  about:
    'Writes a detector as ONNX (opset 17 or later: input images [batch, channels, imgsz, imgsz] in 0 … 1, output ' +
    'output0 [batch, 4 + classes, anchors] of boxes x, y, width, height in pixels and scores; with nms=true ' +
    '[batch, max_det, 6] of x1, y1, x2, y2, score, class), or as plain safetensors weights. An ONNX file is run with ' +
    'onnxruntime-node, where that is installed, and compared with the model before it is written. half=true writes ' +
    'fp16 weights and refuses those that do not fit. Exit code 0 written; 1 the file does not compute what the model ' +
    'does (nothing is written); 2 wrong usage, bad input, or a format that another program makes, with the command.',
  examples: [
    ['mezzo export model=best.safetensors imgsz=640', 'best.onnx beside it, for one image of 640 x 640'],
    [
      'mezzo export model=best.safetensors dynamic=true half=true --out small.onnx',
      'any size and batch, fp16',
    ],
    [
      'mezzo export model=best.safetensors nms=true conf=0.25 iou=0.7 max_det=100',
      'suppression in the graph',
    ],
    ['mezzo export model=best.safetensors source=images/val', 'checked on own pictures'],
    ['mezzo export model=best.pt format=safetensors half=true', 'weights only, fp16'],
  ],
  options: COMMAND_LINE_OPTIONS,
  detector: 'export',
  operands: false,
  run: async ({ assignments, json, terminal }) => {
    const options = await joinLayers('export', assignments);
    const settings = resolveSettings('export', options);
    if (settings.model === null) throw new UsageError('USAGE', 'model= is missing: the weights to export');
    // A format that is not written here is told before anything is loaded.
    const { exportFormat } = await import('@mezzo/detect');
    exportFormat(settings, settings.model);
    const model = await openDetector(settings.model, terminal);
    const report: ExportReport = await model.export(options);
    if (json) terminal.print(JSON.stringify(report));
    else for (const line of exportLines(report, terminal)) terminal.print(line);
    return 0;
  },
};
