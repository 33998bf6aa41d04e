import type { OptionTable } from '../option.ts';
import { EXPORT } from './commands.ts';

export const exportOptions = {
  format: {
    type: 'text',
    default: 'onnx',
    commands: EXPORT,
    help: 'onnx or safetensors; others (engine, openvino, coreml, tflite, …) are answered with the command that makes them',
  },
  dynamic: {
    type: 'bool',
    default: false,
    commands: EXPORT,
    help: 'leave batch, height and width open; otherwise they are batch and imgsz',
  },
  nms: {
    type: 'bool',
    default: false,
    commands: EXPORT,
    help: 'suppression as a part of the graph, with conf, iou, max_det and agnostic_nms',
  },
  opset: {
    type: 'int',
    default: 17,
    range: [17, 21],
    commands: EXPORT,
    help: 'operator set of the ONNX file',
  },
} as const satisfies OptionTable;
