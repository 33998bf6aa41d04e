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

/** YOLO11 (anchor-free, 2024): C3k2 blocks, attention over the coarsest level, a light class branch. */
const yolo11: ModelTable = {
  nc: 80,
  scales: {
    n: [0.5, 0.25, 1024],
    s: [0.5, 0.5, 1024],
    m: [0.5, 1, 512],
    l: [1, 1, 512],
    x: [1, 1.5, 512],
  },
  backbone: [
    [-1, 1, 'Conv', [64, 3, 2]], // 0, P1
    [-1, 1, 'Conv', [128, 3, 2]], // 1, P2
    [-1, 2, 'C3k2', [256, false, 0.25]],
    [-1, 1, 'Conv', [256, 3, 2]], // 3, P3
    [-1, 2, 'C3k2', [512, false, 0.25]],
    [-1, 1, 'Conv', [512, 3, 2]], // 5, P4
    [-1, 2, 'C3k2', [512, true]],
    [-1, 1, 'Conv', [1024, 3, 2]], // 7, P5
    [-1, 2, 'C3k2', [1024, true]],
    [-1, 1, 'SPPF', [1024, 5]], // 9
    [-1, 2, 'C2PSA', [1024]], // 10
  ],
  head: [
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 6], 1, 'Concat', [1]],
    [-1, 2, 'C3k2', [512, false]], // 13
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 4], 1, 'Concat', [1]],
    [-1, 2, 'C3k2', [256, false]], // 16, P3 out
    [-1, 1, 'Conv', [256, 3, 2]],
    [[-1, 13], 1, 'Concat', [1]],
    [-1, 2, 'C3k2', [512, false]], // 19, P4 out
    [-1, 1, 'Conv', [512, 3, 2]],
    [[-1, 10], 1, 'Concat', [1]],
    [-1, 2, 'C3k2', [1024, true]], // 22, P5 out
    [[16, 19, 22], 1, 'Detect', ['nc']],
  ],
};

/** Backbone and neck of YOLOv5 (v6 and v7), which both of its heads share. */
const yolov5Trunk: Pick<ModelTable, 'backbone' | 'head'> = {
  backbone: [
    [-1, 1, 'Conv', [64, 6, 2, 2]], // 0, P1
    [-1, 1, 'Conv', [128, 3, 2]], // 1, P2
    [-1, 3, 'C3', [128]],
    [-1, 1, 'Conv', [256, 3, 2]], // 3, P3
    [-1, 6, 'C3', [256]],
    [-1, 1, 'Conv', [512, 3, 2]], // 5, P4
    [-1, 9, 'C3', [512]],
    [-1, 1, 'Conv', [1024, 3, 2]], // 7, P5
    [-1, 3, 'C3', [1024]],
    [-1, 1, 'SPPF', [1024, 5]], // 9
  ],
  head: [
    [-1, 1, 'Conv', [512, 1, 1]], // 10
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 6], 1, 'Concat', [1]],
    [-1, 3, 'C3', [512, false]],
    [-1, 1, 'Conv', [256, 1, 1]], // 14
    [-1, 1, 'nn.Upsample', [null, 2, 'nearest']],
    [[-1, 4], 1, 'Concat', [1]],
    [-1, 3, 'C3', [256, false]], // 17, P3 out
    [-1, 1, 'Conv', [256, 3, 2]],
    [[-1, 14], 1, 'Concat', [1]],
    [-1, 3, 'C3', [512, false]], // 20, P4 out
    [-1, 1, 'Conv', [512, 3, 2]],
    [[-1, 10], 1, 'Concat', [1]],
    [-1, 3, 'C3', [1024, false]], // 23, P5 out
  ],
};

/** YOLOv5 (2020) with its own head: three anchor boxes in every cell, in pixels for images of 640. */
const yolov5: ModelTable = {
  nc: 80,
  anchors: [
    [10, 13, 16, 30, 33, 23],
    [30, 61, 62, 45, 59, 119],
    [116, 90, 156, 198, 373, 326],
  ],
  scales: {
    n: [0.33, 0.25],
    s: [0.33, 0.5],
    m: [0.67, 0.75],
    l: [1, 1],
    x: [1.33, 1.25],
  },
  backbone: yolov5Trunk.backbone,
  head: [...yolov5Trunk.head, [[17, 20, 23], 1, 'Detect', ['nc', 'anchors']]],
};

/** YOLOv5u (2023): the trunk of YOLOv5 with the anchor-free head of YOLOv8. */
const yolov5u: ModelTable = {
  nc: 80,
  scales: {
    n: [0.33, 0.25, 1024],
    s: [0.33, 0.5, 1024],
    m: [0.67, 0.75, 1024],
    l: [1, 1, 1024],
    x: [1.33, 1.25, 1024],
  },
  backbone: yolov5Trunk.backbone,
  head: [...yolov5Trunk.head, [[17, 20, 23], 1, 'Detect', ['nc']]],
};

/**
 * The published model families by name. A model is named by its family with a scale letter behind the number:
 * `yolov8n`, `yolo11s`, `yolov5nu` (anchor-free), `yolov5n` (anchors).
 */
export const families: Readonly<Record<string, ModelTable>> = { yolov8, yolo11, yolov5u, yolov5 };
