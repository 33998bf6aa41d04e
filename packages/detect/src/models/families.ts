import type { ModelTable } from './description.ts';

/**
 * YOLOv8 (anchor-free, 2023). Rows are `[from, repeats, module, arguments]` before scaling; `from` -1 is the
 * previous layer. Strides of the three head inputs: 8, 16 and 32.
 */
const yolov8: ModelTable = {
  nc: 80,
  scales: {
    n: [0.33, 0.25, 1024],
    s: [0.33, 0.5, 1024],
    m: [0.67, 0.75, 768],
    l: [1, 1, 512],
    x: [1, 1.25, 512],
  },
  backbone: [
    [-1, 1, 'Conv', [64, 3, 2]], // 0, P1
    [-1, 1, 'Conv', [128, 3, 2]], // 1, P2
    [-1, 3, 'C2f', [128, true]],
    [-1, 1, 'Conv', [256, 3, 2]], // 3, P3
    [-1, 6, 'C2f', [256, true]],
    [-1, 1, 'Conv', [512, 3, 2]], // 5, P4
    [-1, 6, 'C2f', [512, true]],
    [-1, 1, 'Conv', [1024, 3, 2]], // 7, P5
    [-1, 3, 'C2f', [1024, true]],
    [-1, 1, 'SPPF', [1024, 5]], // 9
  ],
  head: [
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 6], 1, 'Concat', [1]],
    [-1, 3, 'C2f', [512]], // 12
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 4], 1, 'Concat', [1]],
    [-1, 3, 'C2f', [256]], // 15, P3 out
    [-1, 1, 'Conv', [256, 3, 2]],
    [[-1, 12], 1, 'Concat', [1]],
    [-1, 3, 'C2f', [512]], // 18, P4 out
    [-1, 1, 'Conv', [512, 3, 2]],
    [[-1, 9], 1, 'Concat', [1]],
    [-1, 3, 'C2f', [1024]], // 21, P5 out
    [[15, 18, 21], 1, 'Detect', ['nc']],
  ],
};

/** The published model families by name; a model is named by its family and a scale letter: `yolov8n`. */
export const families: Readonly<Record<string, ModelTable>> = { yolov8 };
