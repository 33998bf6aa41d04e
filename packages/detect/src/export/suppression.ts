import type { Graph, Value } from './graph.ts';

export interface SuppressionOptions {
  /** A score must be greater to count. */
  readonly conf: number;
  /** Of two boxes of one class with a greater overlap the better one stays. */
  readonly iou: number;
  readonly maxDet: number;
  /** Boxes suppress each other across classes. */
  readonly agnostic: boolean;
}

/**
 * Detections [B, maxDet, 6] of predictions [B, 4 + C, A]: x1, y1, x2, y2 in pixels, score, class; best score first, zeros
 * behind the last one. A box has its best class only.
 */
export function writeSuppression(
  graph: Graph,
  predictions: Value,
  classes: number,
  options: SuppressionOptions,
): Value {
  return graph.within('nms', () => {
    const [centre, size, scores] = graph.split(predictions, [2, 2, classes], 1) as [Value, Value, Value];
    const half = graph.add('Mul', [size, graph.number(0.5)]);
    const corners = [graph.add('Sub', [centre, half]), graph.add('Add', [centre, half])];
    const boxes = transposed(graph, graph.add('Concat', corners, { axis: 1 }));
    const best = graph.add('ArgMax', [scores], { axis: 1, keepdims: 1 });
    const score = graph.add('GatherElements', [scores, best], { axis: 1 });
    const kept = graph.add('NonMaxSuppression', [
      boxes,
      options.agnostic ? score : scoresOfBest(graph, score, best, classes),
      graph.integers([options.maxDet]),
      graph.floats('nms_iou', Float32Array.of(options.iou), [1]),
      graph.floats('nms_conf', Float32Array.of(options.conf), [1]),
    ]);
    const rows = graph.add(
      'Concat',
      [boxes, transposed(graph, score), transposed(graph, graph.cast(best, 'float32'))],
      {
        axis: 2,
      },
    );
    return bestRows(graph, rows, keptScores(graph, score, kept), options.maxDet);
  });
}

const transposed = (graph: Graph, value: Value): Value =>
  graph.add('Transpose', [value], { perm: [0, 2, 1] });

/** Scores [B, C, A] with all but the best class of each anchor zero: classes stay apart without moving any box. */
function scoresOfBest(graph: Graph, score: Value, best: Value, classes: number): Value {
  const ids = graph.reshape(graph.integers(Array.from({ length: classes }, (_, i) => i)), [1, -1, 1]);
  return graph.add('Where', [graph.add('Equal', [best, ids]), score, graph.number(0)]);
}

/** Scores [B, A], zero where the anchor was not kept; `kept` lists image, class and anchor. */
function keptScores(graph: Graph, score: Value, kept: Value): Value {
  const flat = graph.add('Squeeze', [score, graph.integers([1])]);
  const at = graph.add('Gather', [kept, graph.integers([0, 2])], { axis: 1 });
  const zeros = graph.add('ConstantOfShape', [graph.add('Shape', [flat])]);
  return graph.add('ScatterND', [zeros, at, graph.add('GatherND', [flat, at])]);
}

/** The `count` rows of each image with the best scores; both are padded first, as there may be fewer anchors. */
function bestRows(graph: Graph, rows: Value, scores: Value, count: number): Value {
  const padded = graph.add('Pad', [scores, graph.integers([0, 0, 0, count])]);
  const [top, order] = graph.addMany('TopK', [padded, graph.integers([count])], 2, { axis: 1 }) as [
    Value,
    Value,
  ];
  const wide = graph.add('Pad', [rows, graph.integers([0, 0, 0, 0, count, 0])]);
  const indices = graph.add('Unsqueeze', [order, graph.integers([2])]);
  const gathered = graph.add('GatherND', [wide, indices], { batch_dims: 1 });
  const found = graph.add('Greater', [top, graph.number(0)]);
  return graph.add('Where', [
    graph.add('Unsqueeze', [found, graph.integers([2])]),
    gathered,
    graph.number(0),
  ]);
}
