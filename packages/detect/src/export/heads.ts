import { AnchorDetect } from '../models/anchor-detect.ts';
import { Detect, REG_MAX } from '../models/detect.ts';
import { type Emitter, type Row, row } from './emitter.ts';
import type { Graph, Value } from './graph.ts';

// Shapes: B images, C classes, h x w cells of a level, n anchor boxes a cell, A anchors of all levels. The decoding is
// fp32, and gives predictions [B, 4 + C, A]: centre x, centre y, width and height in pixels, then probabilities.

/** How every head is written in ONNX, with its decoding. */
export const HEADS: readonly Row[] = [
  row(Detect, (emitter, head, _, features) => {
    const { graph, emit, imgsz } = emitter;
    const cells = (map: Value, channels: number): Value =>
      inFloat(graph, graph.reshape(map, [0, channels, -1]));
    const boxes: Value[] = [];
    const logits: Value[] = [];
    features.forEach((feature, level) => {
      const stride = head.strides[level]!;
      const box = emit(head.cv2.at(level), feature);
      const points = cellCentres(graph, box, stride, imgsz);
      boxes.push(boxesOfDistances(graph, expectedDistances(graph, cells(box, 4 * REG_MAX)), points, stride));
      logits.push(cells(emit(head.cv3.at(level), feature), head.nc));
    });
    const scores = graph.add('Sigmoid', [graph.add('Concat', logits, { axis: 2 })]);
    return graph.add('Concat', [graph.add('Concat', boxes, { axis: 2 }), scores], { axis: 1 });
  }),
  row(AnchorDetect, (emitter, head, _, features) => {
    const { graph } = emitter;
    const levels = features.map((feature, level) => anchorLevel(emitter, head, feature, level));
    return graph.add('Concat', levels, { axis: 2 });
  }),
];

/** Logits [B, 4R, h·w] to the expected distance of each side, [B, 4, h·w] in cells. */
function expectedDistances(graph: Graph, logits: Value): Value {
  const bins = graph.floats(
    'bins',
    Float32Array.from({ length: REG_MAX }, (_, i) => i),
    [1, 1, REG_MAX, 1],
  );
  const sides = graph.reshape(logits, [0, 4, REG_MAX, -1]);
  const weighted = graph.add('Mul', [graph.add('Softmax', [sides], { axis: 2 }), bins]);
  return graph.add('ReduceSum', [weighted, graph.integers([2])], { keepdims: 0 });
}

/** Distances to left, top, right and bottom [B, 4, h·w] in cells to centre and size in pixels. */
function boxesOfDistances(graph: Graph, distances: Value, points: Value, stride: number): Value {
  const [leftTop, rightBottom] = graph.split(distances, [2, 2], 1) as [Value, Value];
  const from = graph.add('Sub', [points, leftTop]);
  const to = graph.add('Add', [points, rightBottom]);
  const centre = graph.add('Mul', [graph.add('Add', [from, to]), graph.number(0.5)]);
  const size = graph.add('Sub', [to, from]);
  return graph.add('Mul', [graph.add('Concat', [centre, size], { axis: 1 }), graph.number(stride)]);
}

/** One level of YOLOv5's head; see `decodeAnchors` for the rule and the order of the anchors. */
function anchorLevel(
  { graph, emit, imgsz }: Emitter,
  head: AnchorDetect,
  feature: Value,
  level: number,
): Value {
  const { perCell, nc } = head;
  const stride = head.strides[level]!;
  const map = emit(head.m.at(level), feature);
  const byAnchor = graph.reshape(map, [0, perCell, 5 + nc, -1]);
  const logits = inFloat(graph, graph.add('Transpose', [byAnchor], { perm: [0, 2, 1, 3] }));
  const [centre, size, objectness, classes] = graph.split(
    graph.add('Sigmoid', [logits]),
    [2, 2, 1, nc],
    1,
  ) as [Value, Value, Value, Value];
  const two = graph.number(2);
  const points = graph.reshape(cellCentres(graph, map, stride, imgsz), [1, 2, 1, -1]);
  const corner = graph.add('Sub', [points, graph.number(1)]);
  const centres = graph.add('Add', [graph.add('Mul', [centre, two]), corner]);
  const doubled = graph.add('Mul', [size, two]);
  const sides = graph.add('Mul', [graph.add('Mul', [doubled, doubled]), anchorSides(graph, head, level)]);
  const boxes = graph.add('Mul', [graph.add('Concat', [centres, sides], { axis: 1 }), graph.number(stride)]);
  const scores = graph.add('Mul', [classes, objectness]);
  return graph.reshape(graph.add('Concat', [boxes, scores], { axis: 1 }), [0, 4 + nc, -1]);
}

/** Sides of the anchor boxes in cells, [1, 2, n, 1]. */
function anchorSides(graph: Graph, { anchors, perCell }: AnchorDetect, level: number): Value {
  const all = anchors.toTypedArray() as Float32Array;
  const own = all.subarray(2 * perCell * level, 2 * perCell * (level + 1));
  const sides = Float32Array.from(
    { length: 2 * perCell },
    (_, i) => own[2 * (i % perCell) + Math.floor(i / perCell)]!,
  );
  return graph.floats(`anchors_${level}`, sides, [1, 2, perCell, 1]);
}

/** The centres of a level's cells in cells, [1, 2, h·w] of x and y: constants, or from the size of `map` [B, K, h, w]. */
function cellCentres(graph: Graph, map: Value, stride: number, imgsz: number | null): Value {
  if (imgsz !== null) {
    const side = imgsz / stride;
    const points = new Float32Array(2 * side * side);
    for (let cell = 0; cell < side * side; cell++) {
      points[cell] = (cell % side) + 0.5;
      points[side * side + cell] = Math.floor(cell / side) + 0.5;
    }
    return graph.floats(`points_${stride}`, points, [1, 2, side * side]);
  }
  const [height, width] = [graph.sizeOf(map, 2), graph.sizeOf(map, 3)];
  const size = graph.add('Concat', [graph.reshape(height, [1]), graph.reshape(width, [1])], { axis: 0 });
  const axes = [
    graph.reshape(centresUpTo(graph, width), [1, -1]),
    graph.reshape(centresUpTo(graph, height), [-1, 1]),
  ];
  const rows = axes.map((axis) => graph.reshape(graph.add('Expand', [axis, size]), [1, 1, -1]));
  return graph.add('Concat', rows, { axis: 1 });
}

/** 0.5, 1.5, … for `count` cells. */
function centresUpTo(graph: Graph, count: Value): Value {
  const range = graph.add('Range', [graph.integers([0], 'scalar'), count, graph.integers([1], 'scalar')]);
  return graph.add('Add', [graph.cast(range, 'float32'), graph.number(0.5)]);
}

const inFloat = (graph: Graph, value: Value): Value =>
  graph.precision === 'float32' ? value : graph.cast(value, 'float32');
