import { CrossAttention } from '../fusion/cross-attention.ts';
import { GatedFusion } from '../fusion/gated-fusion.ts';
import { Modality } from '../fusion/modality.ts';
import { PRESENT_GRID, Present } from '../fusion/present.ts';
import { type Row, row } from './emitter.ts';
import type { Graph, Value } from './graph.ts';

/** How the layers of networks with several modalities are written in ONNX. */
export const FUSION: readonly Row[] = [
  row(Modality, ({ graph }, { first, channels }, images) =>
    slice(graph, images, [first], [first + channels], { axes: [1], steps: [1] }),
  ),
  row(Present, ({ graph }, _, map, [, pixels]) => {
    const grid = slice(graph, pixels!, [0, 0], [END, END], {
      axes: [2, 3],
      steps: [PRESENT_GRID, PRESENT_GRID],
    });
    const light = graph.add('ReduceSum', [inFloat(graph, grid), graph.integers([1, 2, 3])], { keepdims: 1 });
    const there = graph.add('Greater', [light, graph.number(0)]);
    return graph.add('Mul', [map, graph.cast(there, graph.precision)]);
  }),
  row(GatedFusion, ({ graph, emit }, block, _, maps) => {
    const logits = emit(block.gate, emit(block.mix, graph.add('Concat', maps, { axis: 1 })));
    const gates = graph.split(
      graph.add('Softmax', [logits], { axis: 1 }),
      maps.map(() => 1),
      1,
    );
    const parts = maps.map((map, i) => graph.add('Mul', [map, gates[i]!]));
    return parts.reduce((sum, part) => graph.add('Add', [sum, part]));
  }),
  row(CrossAttention, ({ graph, emit }, block, own, maps) => {
    const channels = block.query.conv.outChannels;
    const byHead = (value: Value) => graph.reshape(value, [0, block.heads, channels / block.heads, -1]);
    const query = graph.add('Softmax', [byHead(emit(block.query, own))], { axis: 2 });
    const [key, value] = graph.split(emit(block.keyValue, maps[1]!), [channels, channels], 1) as [
      Value,
      Value,
    ];
    const shares = graph.add('Softmax', [inFloat(graph, byHead(key))], { axis: 3 });
    const swapped = graph.add('Transpose', [shares], { perm: [0, 1, 3, 2] });
    const context = graph.add('MatMul', [inFloat(graph, byHead(value)), swapped]);
    const found = graph.add('MatMul', [inPrecision(graph, context), query]);
    const place = graph.add('Reshape', [found, graph.add('Shape', [own])]);
    const seen = graph.add('Add', [place, emit(block.near, value)]);
    return graph.add('Add', [own, emit(block.proj, seen)]);
  }),
];

/** Beyond any size. */
const END = 2 ** 31 - 1;

const slice = (
  graph: Graph,
  value: Value,
  starts: readonly number[],
  ends: readonly number[],
  { axes, steps }: { axes: readonly number[]; steps: readonly number[] },
): Value => graph.add('Slice', [value, ...[starts, ends, axes, steps].map((list) => graph.integers(list))]);

/** Shares of all pixels are too small for fp16: see the layer. */
const inFloat = (graph: Graph, value: Value): Value =>
  graph.precision === 'float16' ? graph.cast(value, 'float32') : value;
const inPrecision = (graph: Graph, value: Value): Value =>
  graph.precision === 'float16' ? graph.cast(value, 'float16') : value;
